"""Prepares the machine for jobs: metadata guard, storage, accounts, health."""
