# Debian 12 (bookworm): Python 3.11, packer 1.6.6. Its QEMU 7.2 panics current guests in software emulation,
# and its mkosi 14 is too old; bookworm-backports has QEMU 10.0 and mkosi 24.3.
# shellcheck shell=bash disable=SC2034
backports=bookworm-backports
from_backports=(mkosi qemu-system-x86 qemu-utils ovmf)
optional=(packer)
