"""Generate and check the user-data of a worker."""
