"""Child processes: start them, limit their lifetime, remove secrets from their output."""
