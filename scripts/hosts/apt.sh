# Packages of Debian and Ubuntu by what needs them; the other files of this folder change these lists.
# shellcheck shell=bash disable=SC2034
manager=apt
# What the commands run.
runtime=(qemu-system-x86 qemu-utils ovmf mtools e2fsprogs util-linux fdisk mount iproute2 openssh-client procps
    nftables ca-certificates gnupg gpgv rpm kmod zstd python3 python3-venv)
# What builds the base debian13 from packages.
mkosi=(mkosi bubblewrap dosfstools cpio grub-common grub2-common grub-pc-bin grub-efi-amd64-bin
    debian-archive-keyring)
# What the tests and checks run, too.
development=(shellcheck db5.3-util iptables dpkg-dev libcap2-bin xfsprogs btrfs-progs buildah curl zsh fish man-db
    minisign jq faketime)
# Installed where the repositories have them.
optional=()
