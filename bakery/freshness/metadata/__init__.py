"""The repositories of an image: where they are, how they are asked, and what their metadata says."""
