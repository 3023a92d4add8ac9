"""Probes what the jobs of the OSPool ask for, and advertises the results."""
