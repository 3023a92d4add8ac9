"""The engine `chroot`: a mounted copy of the base, changed in place. Needs root."""
