"""A root file system for containers: what only a machine that boots needs goes.

The same steps as for a machine come before it, so both share their checkpoints. The kernel is the host's,
and the entry point does what systemd and cloud-init would.
"""

from __future__ import annotations

from provisioner.errors import BadInput
from provisioner.roles import Context
from provisioner.steps import Command, Step

# Patterns of dpkg-query; what a base does not have is not missed.
# libnss-myhostname stays: a host name nobody can resolve delays each of HTCondor's programs by a minute.
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
)
_LEFT = (
    *("/boot/*", "/efi/*", "/init", "/usr/lib/modules/*", "/usr/lib/grub"),
    *("/usr/lib/systemd", "/etc/systemd", "/etc/cloud", "/etc/netplan"),
)
_REMOVE = f"""\
show='${{db:Status-Status}} ${{Package}}\\n'
names=$(dpkg-query -W -f "$show" "$@" 2>/dev/null | sed -n 's/^installed //p') || true
DEBIAN_FRONTEND=noninteractive apt-get -q -y --allow-remove-essential purge --auto-remove $names
rm -rf {" ".join(_LEFT)}
"""


def container(context: Context) -> tuple[Step, ...]:
    """Raises BadInput for a family whose packages it does not know."""
    if context.family not in ("debian", "ubuntu"):
        raise BadInput(
            f"A container image of a base of the family {context.family} cannot be made yet.",
            "Choose a Debian or Ubuntu base.",
        )
    return (Command("remove what only a machine that boots needs", ("sh", "-ec", _REMOVE, "sh", *BOOT)),)
