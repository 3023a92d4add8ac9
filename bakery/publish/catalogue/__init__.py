"""Publish a disk in a catalogue: a folder or an S3 bucket with simplestreams documents."""
