"""The configuration of a worker: reads it, checks it, and writes it for HTCondor."""
