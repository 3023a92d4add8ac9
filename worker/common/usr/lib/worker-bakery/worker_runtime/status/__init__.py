"""The command `worker-image`: shows the state of a worker and waits for one."""
