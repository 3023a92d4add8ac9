"""Child processes: started, bounded, scrubbed."""
