"""Boot machines from images: systemd in namespaces, or QEMU, behind one interface."""
