"""The engine `chroot`: changes a mounted copy of the base in place. Requires root."""
