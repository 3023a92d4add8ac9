"""Publish a disk in Glance, OpenStack's image service."""
