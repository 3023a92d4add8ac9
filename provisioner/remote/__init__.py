"""Apply plans to a remote machine that already runs, record the applied steps there, and undo them."""
