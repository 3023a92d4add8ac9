"""The roles of the kinds of workers, and the role ospool."""
