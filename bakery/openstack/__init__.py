"""Connections to OpenStack clouds."""
