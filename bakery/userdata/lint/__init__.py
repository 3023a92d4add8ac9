"""User-data of any origin: what would go wrong with it, found before an instance is paid for."""
