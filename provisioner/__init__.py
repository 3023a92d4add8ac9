"""A plan of steps, applied to a machine. Knows nothing of images, packer or clouds."""
