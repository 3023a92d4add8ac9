"""Verify an image: the levels offline, boot, pool and clone, each a list of checks in its proof."""
