"""The cache of bases, checkpoints, images and logs, and the locks between its users."""
