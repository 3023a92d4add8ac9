"""Verify the level pool: a throw-away HTCondor pool and the sample jobs run in it."""
