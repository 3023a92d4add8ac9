"""The table of differences that are expected between two images of one plan, with their reasons.

A row explains different content (size and bytes) but not a different mode, owner or presence, unless it has
`everything`: for example, a private key in only one image is reported. If a row has `normal`, contents may
differ only if their normal forms are equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from bakery.imagediff.files import Difference

# Returns the content of a file, None if it does not exist.
Reader = Callable[[bytes], bytes | None]
_CONTENT_FIELDS = ("size", "content")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9A-F]{4}-[0-9A-F]{4}")


def _without_uuids(text: bytes) -> object:
    return _UUID.sub(b"UUID", text)


def _paragraphs(text: bytes) -> object:
    return sorted(text.strip().split(b"\n\n"))


def _without_days(text: bytes) -> object:
    """Remove the third field, the day of the last password change (shadow(5))."""
    rows = [row.split(b":") for row in text.splitlines()]
    return [row[:2] + row[3:] for row in rows]


@dataclass(frozen=True)
class Volatile:
    """A row. `pattern` is a glob for the whole path; its `*` also matches slashes."""

    pattern: str
    reason: str
    everything: bool = False
    normal: Callable[[bytes], object] | None = None


TABLE: tuple[Volatile, ...] = (
    # specific to a machine, or random
    Volatile("/etc/machine-id", "the machine's identity"),
    Volatile("/var/lib/dbus/machine-id", "the machine's identity"),
    Volatile("/etc/ssh/ssh_host_*", "SSH host keys"),
    Volatile("/etc/ssl/certs/ssl-cert-snakeoil.pem", "a certificate created at installation"),
    Volatile("/etc/ssl/private/ssl-cert-snakeoil.key", "a private key created at installation"),
    Volatile("/var/lib/systemd/random-seed", "a random seed"),
    Volatile("/boot/loader/random-seed", "a random seed"),
    Volatile("/var/lib/systemd/credential.secret", "a random key"),
    Volatile("/etc/fstab", "UUIDs of file systems", normal=_without_uuids),
    Volatile("/boot/grub/grub.cfg", "UUIDs of file systems", normal=_without_uuids),
    Volatile("/boot/grub/*/load.cfg", "UUIDs of file systems", normal=_without_uuids),
    # generated from other files, which are compared
    Volatile(
        "/usr/libexec/condor/exit_37.sif",
        "a container image that HTCondor's package builds with apptainer: its id and times",
    ),
    Volatile("/boot/initrd.img-*", "the initramfs, generated from other files"),
    Volatile("/boot/initramfs-*", "the initramfs, generated from other files"),
    Volatile("/boot/grub/*/core.img", "the boot loader's core, generated from other files and UUIDs"),
    Volatile("/etc/ld.so.cache", "the linker's cache"),
    Volatile("/var/cache/*", "caches", everything=True),
    Volatile("*/__pycache__/*", "Python's caches", everything=True),
    # the same content in another order or from another day
    Volatile("/var/lib/dpkg/status", "the order of dpkg's records", normal=_paragraphs),
    Volatile("/var/lib/dpkg/available", "the order of dpkg's records", normal=_paragraphs),
    Volatile("/var/lib/dpkg/*-old", "dpkg's backups", everything=True),
    Volatile("/var/lib/rpm/__db.*", "rpm's locks", everything=True),
    Volatile("/var/lib/rpm/*", "rpm's database; its packages are compared"),
    Volatile("/usr/lib/sysimage/rpm/*", "rpm's database; its packages are compared"),
    Volatile("/var/lib/dnf/*", "dnf's history", everything=True),
    Volatile("/var/lib/yum/*", "yum's history", everything=True),
    Volatile("/etc/shadow", "the day a password was changed", normal=_without_days),
    Volatile("/etc/passwd-", "backups of the user database", everything=True),
    Volatile("/etc/group-", "backups of the user database", everything=True),
    Volatile("/etc/shadow-", "backups of the user database", everything=True),
    Volatile("/etc/gshadow-", "backups of the user database", everything=True),
    # created by a running machine
    Volatile("/var/log/*", "logs", everything=True),
    Volatile("/var/lib/apt/lists/*", "package lists", everything=True),
    Volatile("/tmp/*", "temporary files", everything=True),
    Volatile("/var/tmp/*", "temporary files", everything=True),
    Volatile("/run/*", "the state of a running machine", everything=True),
)


def classify(difference: Difference, path: bytes, a: Reader, b: Reader) -> tuple[Difference, ...]:
    """Split the difference of a file into its explained and its unexplained part."""
    row = next((row for row in TABLE if fnmatchcase(difference.name, row.pattern)), None)
    if row is None:
        return (difference,)
    if row.everything:
        return (replace(difference, reason=row.reason),)
    content = tuple(change for change in difference.changes if change.field in _CONTENT_FIELDS)
    if not content or not _agree(row, a(path), b(path)):
        return (difference,)
    rest = tuple(change for change in difference.changes if change.field not in _CONTENT_FIELDS)
    explained = replace(difference, changes=content, reason=row.reason)
    return (replace(difference, changes=rest), explained) if rest else (explained,)


def _agree(row: Volatile, a: bytes | None, b: bytes | None) -> bool:
    if row.normal is None:
        return True
    return a is not None and b is not None and row.normal(a) == row.normal(b)
