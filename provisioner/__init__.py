"""Plans of steps, and how they are applied to a machine. Independent of images, packer and clouds."""
