"""worker-bakery publish."""
