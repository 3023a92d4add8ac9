"""How user-data reaches an instance: encodings, multi-part, NoCloud seeds, limits of clouds."""
