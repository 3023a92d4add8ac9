"""Bake several images at once: what they share is made once, and a failure does not stop the others."""
