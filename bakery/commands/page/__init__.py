"""worker-bakery page."""
