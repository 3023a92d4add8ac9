"""A root file system for containers: what only a machine that boots needs goes.

The same steps as for a machine come before it, so both share their checkpoints. The kernel is the host's,
and the entry point does what systemd and cloud-init would.
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import Command, Step

# `unneeded NAME.ARCH …`: $names are those of them that no package beside them needs. What would be
# missed, rpm calls by what was asked for, a library say, and knows who has it.
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
_REMOVE_DEB = f"""\
show='${{db:Status-Status}} ${{Package}}\\n'
names=$(dpkg-query -W -f "$show" "$@" 2>/dev/null | sed -n 's/^installed //p') || true
DEBIAN_FRONTEND=noninteractive apt-get -q -y --allow-remove-essential purge --auto-remove $names
rm -rf {" ".join(_LEFT)}
"""


# The same of EL, as patterns of rpm -qa. What packages beside these need stays: systemd, as a rule, which
# HTCondor's package asks for; nothing starts it.
BOOT_EL = (
    *("kernel", "kernel-core", "kernel-modules*", "kernel-tools*", "*-firmware", "microcode_ctl", "kmod"),
    *("grub2-*", "grubby", "shim-*", "mokutil", "efibootmgr", "dracut*", "kexec-tools", "plymouth*"),
    *("systemd*", "dbus*", "NetworkManager*", "chrony", "firewalld*", "irqbalance", "tuned", "fwupd"),
    *("cloud-init", "cloud-utils-growpart", "openssh-server", "qemu-guest-agent"),
)
_LEFT_EL = ("/boot/*", "/efi/*", "/usr/lib/modules/*", "/etc/cloud")
# By rpm itself: yum and dnf would protect some, and take what was here before for somebody's wish.
_REMOVE_RPM = f"""{UNNEEDED}\
unneeded $(rpm -qa --qf '%{{NAME}}.%{{ARCH}}\\n' "$@")
[ -z "$names" ] || rpm -e --allmatches $names
rm -rf {" ".join(_LEFT_EL)}
"""


def container(context: Context) -> tuple[Step, ...]:
    script, patterns = (_REMOVE_RPM, BOOT_EL) if context.is_el else (_REMOVE_DEB, BOOT)
    return (Command("remove what only a machine that boots needs", ("sh", "-ec", script, "sh", *patterns)),)
