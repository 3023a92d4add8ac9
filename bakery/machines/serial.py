"""Diagnose a machine that does not answer from the log of its serial console. No I/O.

The patterns match messages of the kernel, GRUB, SeaBIOS and OVMF, dracut, initramfs-tools, systemd, glibc,
cloud-init and OpenSSH; tests/golden/serial has a log for each sign.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?!]*[A-Za-z@]|[()][A-Z0-9]|[=>cM78]|\][^\x07]*\x07)")


@dataclass(frozen=True)
class Diagnosis:
    """What happened, by which line of the log; `final`: the machine will not recover."""

    name: str
    summary: str
    hint: str
    line: str = ""
    final: bool = False

    def __str__(self) -> str:
        return f"{self.summary}: {self.line}" if self.line else f"{self.summary}."


@dataclass(frozen=True)
class Sign:
    """A pattern (searched in each line, case-sensitive) and its diagnosis."""

    name: str
    pattern: str
    summary: str
    hint: str
    final: bool = False


_ROOT_HINT = "Check root= in the boot loader's configuration, and that the initramfs has virtio drivers."
_READ_ON = "The log names it. To open a shell in the image: worker-bakery shell IMAGE."

# Causes come before their consequences, a panic or an emergency shell.
SIGNS = (
    Sign(
        "cpu-level",
        r"CPU does not support x86-64-v\d|CPU ISA level is lower than required",
        "The image's programs require a newer processor than the machine has",
        "Use a processor model with these instructions: -cpu host with KVM, -cpu max in emulation.",
        final=True,
    ),
    Sign(
        "no-boot-loader",
        r"No bootable device|Boot failed: not a bootable disk|No bootable option or device was found|"
        r"BdsDxe: failed to (?:load|start) Boot\d+",
        "The firmware found no boot loader",
        "The image may be for another firmware: worker-bakery verify --firmware efi, or bios.",
        final=True,
    ),
    Sign(
        "boot-loader",
        r"grub rescue>|error: (?:no such (?:device|partition)|unknown filesystem|symbol .* not found)|"
        r"error: (?:\S+: )?file `?.*' not found",
        "GRUB did not find a file, a device or a module",
        "Its configuration does not match the disk's partitions. Check whether a partition was changed.",
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
        "Give it more memory: current bases require at least 1 GiB.",
        final=True,
    ),
    Sign(
        "kernel-panic",
        r"Kernel panic - not syncing",
        "The guest's kernel panicked",
        "The lines before it name the cause. Emulated by QEMU before 8, current kernels panic.",
        final=True,
    ),
    Sign(
        "emergency-mode",
        r"You are in emergency mode|Entering emergency mode|Cannot open access to console, the root|"
        r"Reached target emergency\.target|Reached target (?:\S+ - )?Emergency Mode",
        "The guest stopped in emergency mode",
        "A required unit failed before, usually a mount of /etc/fstab. " + _READ_ON,
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
        "Check its netplan, NetworkManager or ifcfg files: one must request DHCP for an interface of"
        " any name and MAC address.",
    ),
    Sign(
        "cloud-init",
        r"Failed to start (?:\S+ - )?[Cc]loud-init|cloud-init\[\d+\].*(?:ERROR|Traceback)|"
        r"cloud-init\[\d+\].*\[CRITICAL\]|util\.py\[WARNING\].*failed",
        "cloud-init failed",
        "It creates the login and reads the user-data. In the image: cloud-init status --long, and"
        " /var/log/cloud-init.log.",
    ),
    Sign(
        "sshd",
        r"Failed to start (?:\S+ - )?(?:ssh|sshd)\.service|Failed to start (?:\S+ - )?OpenSSH|"
        r"Failed to start (?:\S+ - )?OpenBSD Secure Shell|sshd\[?\d*\]?: no hostkeys available",
        "The guest's ssh server did not start",
        "`sshd -t` in the image prints the reason. " + _READ_ON,
    ),
    Sign(
        "ssh-key",
        r"ci-info: no authorized SSH keys? fingerprints found for user|"
        r"Authentication refused: bad ownership or modes",
        "The guest's ssh server has no authorized key",
        "cloud-init authorizes the key for its default user, which must be the login of the base.",
    ),
)
_SILENT = Diagnosis(
    "silent",
    "The serial console printed nothing",
    "Either the firmware found no boot loader, or the kernel's command line lacks console=ttyS0.",
)


def diagnose(log: str) -> Diagnosis | None:
    """Return the diagnosis of the first sign in SIGNS that the log has; None if it has none."""
    text = strip_escapes(log)
    if not text.strip():
        return _SILENT
    return next((found for sign in SIGNS if (found := _match(sign, text))), None)


def _match(sign: Sign, text: str) -> Diagnosis | None:
    found = re.search(sign.pattern, text)
    if not found:
        return None
    start, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    line = text[start : end if end >= 0 else None].strip()
    return Diagnosis(sign.name, sign.summary, sign.hint, line[:300], sign.final)


def strip_escapes(log: str) -> str:
    """Remove colours, cursor movements and carriage returns."""
    return _ESCAPES.sub("", log).replace("\r", "")


def last_lines(log: str, count: int = 20) -> str:
    """Return the last lines that are not empty."""
    return "\n".join([row for row in strip_escapes(log).splitlines() if row.strip()][-count:])
