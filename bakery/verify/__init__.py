"""Verify an image: the levels offline, boot and pool, each a list of checks recorded in its proof."""
