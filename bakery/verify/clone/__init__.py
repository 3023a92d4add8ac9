"""The verification level clone: two machines of one image have nothing in common but the image."""
