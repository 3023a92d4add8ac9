# Ubuntu 22.04 (jammy): QEMU 6.2, mkosi 12, Python 3.10; python3.11 is in universe.
# shellcheck shell=bash disable=SC2034
runtime+=(python3.11 python3.11-venv)
mkosi=()
optional=(packer)
