# Debian 13 (trixie): QEMU 10.0, mkosi 25.3, Python 3.13. It has no packer.
# shellcheck shell=bash
