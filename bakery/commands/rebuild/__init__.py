"""The command rebuild."""
