"""Names of the environment variables of `worker run --user`."""

HOME = "WORKER_BAKERY_HOME"  # the folder of everything that the worker writes; system/paths.py reads it
CONFIG = "CONDOR_CONFIG"
