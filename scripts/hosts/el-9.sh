# Enterprise Linux 9 (Rocky, AlmaLinux, CentOS Stream, RHEL): QEMU 8.2 or later with user-mode networking and
# software emulation, Python 3.11 beside its own 3.9. EPEL's mkosi is too old.
# shellcheck shell=bash disable=SC2034
runtime+=(qemu-kvm-core python3.11)
enable=epel
