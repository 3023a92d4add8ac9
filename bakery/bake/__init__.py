"""Bake one image: look it up in the store, else make it, prove it and commit it."""
