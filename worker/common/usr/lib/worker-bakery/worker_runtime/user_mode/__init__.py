"""The command `worker run --user`: a worker of an unprivileged user."""
