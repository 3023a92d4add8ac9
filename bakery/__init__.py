"""The commands and what they do: bases, engines, store, verification, user-data."""

__version__ = "0.2.0"
