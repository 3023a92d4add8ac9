"""What an image is made of: bases, repositories, and the recipe that makes a plan of them. Pure."""
