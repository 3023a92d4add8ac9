"""Getting base images: download, build by mkosi, mirrors, and updates of their pins."""
