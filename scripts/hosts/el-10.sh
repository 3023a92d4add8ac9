# Enterprise Linux 10: Python 3.12. EPEL has no apt, which mkosi needs to build a Debian base.
# shellcheck shell=bash disable=SC2034
runtime+=(qemu-kvm-core python3)
enable=epel
