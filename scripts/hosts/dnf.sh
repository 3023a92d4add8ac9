# Packages of Enterprise Linux and Fedora by what needs them; the other files of this folder change these lists.
# shellcheck shell=bash disable=SC2034
manager=dnf
# What the commands run. The QEMU of Enterprise Linux is /usr/libexec/qemu-kvm.
runtime=(qemu-img edk2-ovmf mtools e2fsprogs util-linux iproute openssh-clients procps-ng nftables
    ca-certificates gnupg2 rpm kmod zstd)
# What builds the base debian13 from packages.
mkosi=()
# What the tests and checks run, too.
development=(libcap xfsprogs buildah zsh man-db jq)
# Installed where the repositories have them; of Enterprise Linux, EPEL.
optional_development=(ShellCheck fish dpkg-dev btrfs-progs iptables-legacy minisign libfaketime)
