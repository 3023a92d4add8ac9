"""Obtain base images: download them, build them with mkosi, use mirrors, update their pins."""
