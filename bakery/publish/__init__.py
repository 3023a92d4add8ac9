"""Publish an image: to Glance, to a catalogue of files, to a registry of containers.

Each target reads what is there, plans actions without side effects, and executes them in order. A second
run continues what a killed one has left.
"""
