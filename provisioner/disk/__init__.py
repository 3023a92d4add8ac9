"""Raw disk images: mount their file systems, check their free space, open a shell in their root."""
