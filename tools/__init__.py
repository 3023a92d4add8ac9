"""Programs for the developers of worker-bakery; no part of the wheel."""
