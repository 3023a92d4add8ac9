"""Check user-data of any origin before an instance is started with it."""
