"""describe and sign: the description of an image, and its signature."""
