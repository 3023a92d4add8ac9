"""The machine before it is a worker: quiet while being built, current, and with what all workers need."""

from __future__ import annotations

from provisioner.packages import repositories
from provisioner.roles import Context
from provisioner.steps import Command, File, Packages, Refresh, Service, Step

# Asked by Debian's maintainer scripts before they start a service; the seal removes it.
POLICY = "/usr/sbin/policy-rc.d"

# dracut would leave out what the machine that builds the image does not need.
_ANY_MACHINE = b'# This image boots on machines other than the one it was made on.\nhostonly="no"\n'
# A new kernel's arguments are taken from this file, or else from /proc/cmdline, which is the builder's.
_KEEP_ARGUMENTS = """\
test -s /etc/kernel/cmdline && exit 0
told=$(grubby --info=DEFAULT)
root=$(printf '%s\\n' "$told" | sed -n 's/^root="\\(.*\\)"$/\\1/p' | head -n 1)
arguments=$(printf '%s\\n' "$told" | sed -n 's/^args="\\(.*\\)"$/\\1/p' | head -n 1)
test -n "$root"
mkdir -p /etc/kernel
printf 'root=%s %s\\n' "$root" "$arguments" >/etc/kernel/cmdline
"""
# The rescue kernel is the oldest that was ever installed.
NEWEST_KERNEL = "newest=$(ls -v /boot/vmlinuz-* | grep -v rescue | tail -n 1)"
_BOOT_NEWEST = f"""\
{NEWEST_KERNEL}
test -n "$newest"
grubby --set-default="$newest"
test "$(grubby --default-kernel)" = "$newest"
"""


def base(context: Context) -> tuple[Step, ...]:
    return _el(context) if context.is_el else _debian()


def _debian() -> tuple[Step, ...]:
    return (
        File(
            POLICY,
            b"#!/bin/sh\n# no service starts while the image is being built\nexit 101\n",
            0o755,
        ),
        Refresh("apt"),
        # libnss-myhostname: a host name nobody can resolve delays HTCondor's start by minutes.
        # libpam-systemd: without it nobody knows who is logged in, and could be cut off.
        Packages(
            "apt",
            frozenset({"libnss-myhostname", "libpam-systemd", "nftables", "procps", "python3"}),
        ),
        # A worker lives for hours and is replaced, not upgraded: no job shares it with apt.
        Service("apt-daily.timer", "mask"),
        Service("apt-daily-upgrade.timer", "mask"),
    )


def _el(context: Context) -> tuple[Step, ...]:
    """No rpm starts a service, so nothing is kept quiet; systemd's libraries resolve the host name."""
    old = context.family == "el7"
    return (
        *repositories.add(context.repositories, "base", context.manager),
        File("/etc/dracut.conf.d/90-worker.conf", _ANY_MACHINE),
        *(() if old else (Command("keep the kernel's arguments", ("sh", "-ec", _KEEP_ARGUMENTS)),)),
        # Before all else, as drivers are built for a kernel, and firmware is read by it.
        Refresh(context.manager),
        Command("boot the newest kernel", ("sh", "-ec", _BOOT_NEWEST)),
        Packages(context.manager, _EL_PACKAGES | (_OLD if old else _NEW)),
        Service("chronyd.service", "enable"),
        *(() if old else (Service("dnf-makecache.timer", "mask"),)),
    )


# For the guest runtime: disks, metadata guard, clock; and SELinux's tools.
_EL_PACKAGES = frozenset({"chrony", "e2fsprogs", "policycoreutils", "procps-ng", "python3", "util-linux"})
# nftables of EL7 is a preview that its kernel knows half of.
_OLD = frozenset({"iptables", "policycoreutils-python"})
_NEW = frozenset({"nftables", "policycoreutils-python-utils"})
