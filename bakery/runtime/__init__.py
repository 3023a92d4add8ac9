"""Infrastructure for all other folders: sandboxes, progress, privileges, files, packaged data,
conditions."""
