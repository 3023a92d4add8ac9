"""Turn a root file system into one for containers: remove what only a booting machine needs.

The steps before this role are those of a machine image, so both share checkpoints. Containers use the
kernel of the host, and the entry point replaces systemd and cloud-init.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from provisioner.roles import Context
from provisioner.steps import Command, File, Files, Step

# `unneeded NAME.ARCH …` sets $names to those packages that no other package needs. rpm reports the missing
# capability (for example a library); `rpm -q --whatprovides` finds its package.
UNNEEDED = r"""unneeded() {
    names=$(printf '%s\n' "$@" | sort -u)
    while missed=$(LC_ALL=C rpm -e --test --allmatches $names 2>&1 |
        sed -n 's/^\t\(.*\) is needed by .*/\1/p' | sed 's/ [<=>].*//' | sort -u |
        while read -r what; do rpm -q --whatprovides --qf '%{NAME}.%{ARCH}\n' "$what" || true; done) &&
        needed=$(printf '%s\n' "$missed" | grep -xF -e "$names"); do
        names=$(printf '%s\n' "$names" | grep -vxF -e "$needed") || break
    done
}
"""

# Patterns for dpkg-query; packages that a base does not have are ignored.
# libnss-myhostname stays: an unresolvable host name delays each program of HTCondor by a minute.
BOOT = (
    *("linux-image-*", "linux-base", "grub-*", "shim-signed", "initramfs-tools", "udev", "kmod", "dmsetup"),
    *(
        "systemd",
        "systemd-sysv",
        "systemd-resolved",
        "systemd-timesyncd",
        "libpam-systemd",
        "dbus",
        "fdisk",
    ),
    *("cloud-init", "cloud-guest-utils", "netplan.io", "openssh-server"),
    *("locales", "libc-l10n"),
)
# Texts for people, a fifth of the image; programs of a worker use C.UTF-8. Licences stay. Headers of Perl
# are of no use without a compiler.
_SMALLER = """\
rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/i18n
rm -rf /usr/lib/*/perl/*/CORE /usr/lib64/perl5/CORE /usr/share/lintian /usr/share/bash-completion
rm -rf /usr/lib/python3.*/test /usr/lib/python3.*/pydoc_data /usr/lib/python3.*/__pycache__/pydoc*
find /usr/share/doc -type f ! -name copyright -delete
find /usr/share/doc -depth -type d -empty -delete
find /usr/share /usr/lib -name '*.pod' -type f -delete
"""
_LEFT = (
    *("/boot/*", "/efi/*", "/init", "/usr/lib/modules/*", "/usr/lib/grub"),
    *("/usr/lib/systemd", "/etc/systemd", "/etc/cloud", "/etc/netplan"),
)
_REMOVE_DEB = f"""\
show='${{db:Status-Status}} ${{Package}}\\n'
names=$(dpkg-query -W -f "$show" "$@" 2>/dev/null | sed -n 's/^installed //p') || true
DEBIAN_FRONTEND=noninteractive apt-get -q -y --allow-remove-essential purge --auto-remove $names
rm -rf {" ".join(_LEFT)}
{_SMALLER}"""


# The same for EL, as patterns for rpm -qa. Packages that others need stay, usually systemd, which
# HTCondor's package requires; it is not started.
BOOT_EL = (
    *("kernel", "kernel-core", "kernel-modules*", "kernel-tools*", "*-firmware", "microcode_ctl", "kmod"),
    *("grub2-*", "grubby", "shim-*", "mokutil", "efibootmgr", "dracut*", "kexec-tools", "plymouth*"),
    *("systemd*", "dbus*", "NetworkManager*", "chrony", "firewalld*", "irqbalance", "tuned", "fwupd"),
    *("cloud-init", "cloud-utils-growpart", "openssh-server", "qemu-guest-agent"),
)
_LEFT_EL = ("/boot/*", "/efi/*", "/usr/lib/modules/*", "/etc/cloud")
# With rpm: yum and dnf protect some packages, and treat those of the base as installed by the user.
_REMOVE_RPM = f"""{UNNEEDED}\
unneeded $(rpm -qa --qf '%{{NAME}}.%{{ARCH}}\\n' "$@")
[ -z "$names" ] || rpm -e --allmatches $names
rm -rf {" ".join(_LEFT_EL)}
{_SMALLER}"""


# The worker writes these to /run, because the root of a container may be read-only.
_WRITTEN = (
    *("00-worker-container", "80-worker-storage", "81-worker-resources", "85-worker-container"),
    "90-{kind}",
)
_INCLUDE = """\
# The worker writes this file when it starts; the root of a container may be read-only.
include ifexist : /run/worker-bakery/config.d/{name}.config
"""
# The most slots of a container whose root is read-only; more accounts are created where that is possible.
SLOTS = 64
# For `docker run --user`: HTCondor requires an account with a name.
USER, USER_NUMBER, USER_HOME = "worker", 1000, "/var/lib/worker"
_ACCOUNTS = f"""\
for number in $(seq 0 {SLOTS}); do
    useradd --system --user-group --no-create-home --home-dir=/nonexistent --shell=/usr/sbin/nologin \\
        slot$number
done
useradd --uid {USER_NUMBER} --user-group --create-home --home-dir {USER_HOME} --shell=/bin/sh {USER}
chmod 0700 {USER_HOME}
"""


def container(context: Context) -> tuple[Step, ...]:
    """The steps: packages, by the package manager of the base; accounts; files that include others."""
    script, patterns = (_REMOVE_RPM, BOOT_EL) if context.is_el else (_REMOVE_DEB, BOOT)
    return (
        Command("remove packages that containers do not need", ("sh", "-ec", script, "sh", *patterns)),
        Command("create accounts for jobs and for --user", ("sh", "-ec", _ACCOUNTS)),
        Files("include the configuration that the worker writes", tuple(_includes(context))),
    )


def _includes(context: Context) -> Iterator[File]:
    [kind] = [json.loads(file.data)["name"] for file in context.files if file.path.endswith("/kind.json")]
    for name in (pattern.format(kind=kind) for pattern in _WRITTEN):
        yield File(f"/etc/condor/config.d/{name}.config", _INCLUDE.format(name=name).encode())
