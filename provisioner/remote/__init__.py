"""A plan applied to a machine that runs already, and what that machine remembers of it."""
