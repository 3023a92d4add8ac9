"""Prepare the base: no service starts during the build, packages are current, common packages exist."""

from __future__ import annotations

from provisioner.packages import repositories
from provisioner.roles import Context
from provisioner.steps import Command, File, Packages, Refresh, Service, Step

# Debian's maintainer scripts run it before they start a service; the seal removes it.
POLICY = "/usr/sbin/policy-rc.d"

# By default, dracut omits drivers that the build machine does not need.
_ANY_MACHINE = b'# This image boots on machines other than the one it was made on.\nhostonly="no"\n'
# Without this file, a new kernel gets the arguments in /proc/cmdline, which are those of the build machine.
_KEEP_ARGUMENTS = """\
test -s /etc/kernel/cmdline && exit 0
told=$(grubby --info=DEFAULT)
root=$(printf '%s\\n' "$told" | sed -n 's/^root="\\(.*\\)"$/\\1/p' | head -n 1)
arguments=$(printf '%s\\n' "$told" | sed -n 's/^args="\\(.*\\)"$/\\1/p' | head -n 1)
test -n "$root"
mkdir -p /etc/kernel
printf 'root=%s %s\\n' "$root" "$arguments" >/etc/kernel/cmdline
"""
# The rescue kernel is the first one that was installed.
NEWEST_KERNEL = "newest=$(ls -v /boot/vmlinuz-* | grep -v rescue | tail -n 1)"
_BOOT_NEWEST = f"""\
{NEWEST_KERNEL}
test -n "$newest"
grubby --set-default="$newest"
test "$(grubby --default-kernel)" = "$newest"
"""


def base(context: Context) -> tuple[Step, ...]:
    """The steps for the family of the base."""
    return _el(context) if context.is_el else _debian()


def _debian() -> tuple[Step, ...]:
    return (
        File(
            POLICY,
            b"#!/bin/sh\n# no service starts while the image is being built\nexit 101\n",
            0o755,
        ),
        Refresh("apt"),
        # libnss-myhostname: an unresolvable host name delays HTCondor's start by minutes.
        # libpam-systemd: registers logins, so that their sessions can be found and ended.
        Packages(
            "apt",
            frozenset({"libnss-myhostname", "libpam-systemd", "nftables", "procps", "python3"}),
        ),
        # Workers run for hours and are replaced, not upgraded: apt must not run beside jobs.
        Service("apt-daily.timer", "mask"),
        Service("apt-daily-upgrade.timer", "mask"),
    )


def _el(context: Context) -> tuple[Step, ...]:
    """The steps for EL, where rpm scripts start no services and systemd resolves the host name."""
    old = context.family == "el7"
    return (
        *repositories.add(context.repositories, "base", context.manager),
        File("/etc/dracut.conf.d/90-worker.conf", _ANY_MACHINE),
        *(() if old else (Command("keep the kernel's arguments", ("sh", "-ec", _KEEP_ARGUMENTS)),)),
        # First, because drivers are built for a kernel.
        Refresh(context.manager),
        Command("boot the newest kernel", ("sh", "-ec", _BOOT_NEWEST)),
        Packages(context.manager, _EL_PACKAGES | (_OLD if old else _NEW)),
        Service("chronyd.service", "enable"),
        *(() if old else (Service("dnf-makecache.timer", "mask"),)),
    )


# Required by the guest runtime (disks, metadata guard, clock) and for SELinux.
_EL_PACKAGES = frozenset({"chrony", "e2fsprogs", "policycoreutils", "procps-ng", "python3", "util-linux"})
# nftables in EL7 is a technology preview that its kernel does not fully support.
_OLD = frozenset({"iptables", "policycoreutils-python"})
_NEW = frozenset({"nftables", "policycoreutils-python-utils"})
