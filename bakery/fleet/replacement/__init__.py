"""The servers of a group replaced, a few at a time, by servers of another image."""
