"""What all parts run on: sandboxes, progress, privileges, files, packaged data."""
