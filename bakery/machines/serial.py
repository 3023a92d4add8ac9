"""What a serial console tells of a machine that does not answer: a log in, a diagnosis out. No I/O.

The words are those of the kernel, GRUB, SeaBIOS and OVMF, dracut, initramfs-tools, systemd, glibc,
cloud-init and OpenSSH; tests/golden/serial has a log for each sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?!]*[A-Za-z@]|[()][A-Z0-9]|[=>cM78]|\][^\x07]*\x07)")


@dataclass(frozen=True)
class Diagnosis:
    """`line` is the row of the log that says so; `final`: it is of no use to wait for this machine."""

    name: str
    happened: str
    hint: str
    line: str = ""
    final: bool = False

    def __str__(self) -> str:
        return f"{self.happened}: {self.line}" if self.line else f"{self.happened}."


@dataclass(frozen=True)
class Sign:
    """`pattern` is searched within lines; case matters."""

    name: str
    pattern: str
    happened: str
    hint: str
    final: bool = False


_ROOT_HINT = "Look at root= in the boot loader's configuration, and for virtio's drivers in the initramfs."
_READ_ON = "The log says which; a shell in the image: worker-bakery shell IMAGE."

# What explains more comes first: a panic has a cause, and an emergency shell has one.
SIGNS = (
    Sign(
        "cpu-level",
        r"CPU does not support x86-64-v\d|CPU ISA level is lower than required",
        "The image's programs need a newer processor than the machine has",
        "Give the machine a processor model that has it: -cpu host with KVM, -cpu max in emulation.",
        final=True,
    ),
    Sign(
        "no-boot-loader",
        r"No bootable device|Boot failed: not a bootable disk|No bootable option or device was found|"
        r"BdsDxe: failed to (?:load|start) Boot\d+",
        "The firmware found no boot loader",
        "Is the image made for this firmware? Try worker-bakery verify --firmware efi, or bios.",
        final=True,
    ),
    Sign(
        "boot-loader",
        r"grub rescue>|error: (?:no such (?:device|partition)|unknown filesystem|symbol .* not found)|"
        r"error: (?:\S+: )?file `?.*' not found",
        "GRUB does not find what it should load",
        "Its configuration and the disk's partitions do not fit together; was a partition changed?",
        final=True,
    ),
    Sign(
        "no-root-device",
        r"VFS: (?:Cannot open root device|Unable to mount root fs)|ALERT!.* does not exist|"
        r"Warning: /dev/\S+ does not exist|Dependency failed for (?:sysroot\.mount|/sysroot)|"
        r"Gave up waiting for root",
        "The kernel started, but its root file system was not found",
        _ROOT_HINT,
        final=True,
    ),
    Sign(
        "out-of-memory",
        r"Kernel panic - not syncing: (?:System is deadlocked on memory|Out of memory)|"
        r"Initramfs unpacking failed: write error",
        "The machine has too little memory to start",
        "Give it more: bases of today want 1 GiB at least.",
        final=True,
    ),
    Sign(
        "kernel-panic",
        r"Kernel panic - not syncing",
        "The guest's kernel panicked",
        "The lines before it name the cause. In emulation, QEMU before 8 panics kernels of today.",
        final=True,
    ),
    Sign(
        "emergency-mode",
        r"You are in emergency mode|Entering emergency mode|Cannot open access to console, the root|"
        r"Reached target emergency\.target|Reached target (?:\S+ - )?Emergency Mode",
        "The guest stopped in emergency mode",
        "Something it cannot do without failed before, mostly a mount of /etc/fstab. " + _READ_ON,
        final=True,
    ),
    Sign(
        "disk-full",
        r"No space left on device",
        "The guest's disk is full",
        "Give the base a larger root_size, or install less.",
    ),
    Sign(
        "killed-for-memory",
        r"(?<!cgroup )Out of memory: Kill",
        "The guest ran out of memory and its kernel killed a program",
        "Give the machine more memory.",
    ),
    Sign(
        "network",
        r"Failed to start (?:\S+ - )?(?:systemd-networkd|NetworkManager|networking|Network Service|"
        r"Network Manager|Raise network interfaces|\S*-wait-online|Wait for (?:the )?Network)|"
        r"Timeout occurred while waiting for network connectivity|"
        r"ci-info: \|\s*e(?:th|n)\S*\s*\|\s*False",
        "The guest's network did not come up",
        "Look at its netplan, NetworkManager or ifcfg files: does one ask for DHCP, whatever the"
        " interface's name and MAC address are?",
    ),
    Sign(
        "cloud-init",
        r"Failed to start (?:\S+ - )?[Cc]loud-init|cloud-init\[\d+\].*(?:ERROR|Traceback)|"
        r"cloud-init\[\d+\].*\[CRITICAL\]|util\.py\[WARNING\].*failed",
        "cloud-init failed",
        "It makes the login and takes the user-data. In the image: cloud-init status --long, and"
        " /var/log/cloud-init.log.",
    ),
    Sign(
        "sshd",
        r"Failed to start (?:\S+ - )?(?:ssh|sshd)\.service|Failed to start (?:\S+ - )?OpenSSH|"
        r"Failed to start (?:\S+ - )?OpenBSD Secure Shell|sshd\[?\d*\]?: no hostkeys available",
        "The guest's ssh server did not start",
        "`sshd -t` in the image says why. " + _READ_ON,
    ),
    Sign(
        "ssh-key",
        r"ci-info: no authorized SSH keys? fingerprints found for user|"
        r"Authentication refused: bad ownership or modes",
        "The guest's ssh server does not know the key",
        "cloud-init gives it to its default user: is that the login of the base?",
    ),
)
_SILENT = Diagnosis(
    "silent",
    "Nothing came over the serial console",
    "The firmware found no boot loader, or the kernel writes elsewhere: console=ttyS0 is missing.",
)


def diagnose(log: str) -> Diagnosis | None:
    """The first of the signs that the log shows; None when it shows none of them."""
    text = plain(log)
    if not text.strip():
        return _SILENT
    return next((found for sign in SIGNS if (found := _found(sign, text))), None)


def _found(sign: Sign, text: str) -> Diagnosis | None:
    found = re.search(sign.pattern, text)
    if not found:
        return None
    start, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    line = text[start : end if end >= 0 else None].strip()
    return Diagnosis(sign.name, sign.happened, sign.hint, line[:300], sign.final)


def plain(log: str) -> str:
    """Without colours, cursor movements and carriage returns."""
    return _ESCAPES.sub("", log).replace("\r", "")


def last_lines(log: str, count: int = 20) -> str:
    """What was shown last, without empty lines."""
    return "\n".join([row for row in plain(log).splitlines() if row.strip()][-count:])
