"""Raw disk images: their file systems mounted, their space, a shell in their root."""
