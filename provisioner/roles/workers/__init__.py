"""Roles of the kinds of workers."""
