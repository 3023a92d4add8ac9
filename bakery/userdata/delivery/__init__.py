"""Deliver user-data to an instance: encodings, MIME multi-parts, NoCloud seeds, limits of clouds."""
