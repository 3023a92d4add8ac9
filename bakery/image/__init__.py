"""What an image consists of: bases, repositories, and the recipe that makes a plan of them."""
