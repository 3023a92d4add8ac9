"""The file that a baked root becomes: a disk image or a container image."""
