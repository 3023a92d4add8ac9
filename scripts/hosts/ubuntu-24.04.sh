# Ubuntu 24.04 (noble): QEMU 8.2, mkosi 20.2, Python 3.12.
# shellcheck shell=bash disable=SC2034
mkosi=()
optional=(packer)
