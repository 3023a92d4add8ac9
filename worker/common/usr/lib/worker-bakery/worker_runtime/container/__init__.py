"""The command `worker run`: a worker in a container, without systemd."""
