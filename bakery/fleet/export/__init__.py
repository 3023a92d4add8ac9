"""A launch as the configuration of another program: COBalD/TARDIS, Terraform, Heat. Pure.

Each format is a function from a plan to files. The command writes them, the other program makes servers.
"""
