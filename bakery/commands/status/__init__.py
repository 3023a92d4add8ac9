"""worker-bakery status."""
