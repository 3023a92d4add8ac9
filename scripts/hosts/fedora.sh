# Fedora: QEMU, mkosi and Python of its supported releases are recent enough.
# shellcheck shell=bash disable=SC2034
runtime+=(qemu-system-x86-core python3)
mkosi=(mkosi bubblewrap dosfstools cpio grub2-tools apt debian-keyring)
