"""Mistakes in a definition file: what they are, and where."""
