"""Bake one image: look it up in the store; otherwise build, prove and commit it."""
