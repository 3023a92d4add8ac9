"""The level `pool`: a throw-away HTCondor pool and the jobs that are tried in it."""
