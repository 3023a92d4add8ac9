"""What may differ between two images of one plan, and why: the one table.

A row excuses what a file holds (its size and content), never its mode, owner or presence, unless it
says `everything`; a private key in one image only is worth being told of. Where a row has a `normal`
form, what differs is excused only if the normal forms agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from bakery.imagediff.files import Difference

# A file as seen from either side; None where there is none.
Reader = Callable[[bytes], bytes | None]
_HELD = ("size", "content")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9A-F]{4}-[0-9A-F]{4}")


def _without_uuids(text: bytes) -> object:
    return _UUID.sub(b"UUID", text)


def _paragraphs(text: bytes) -> object:
    return sorted(text.strip().split(b"\n\n"))


def _without_days(text: bytes) -> object:
    """shadow(5): the third field is the day of the last change of the password."""
    rows = [row.split(b":") for row in text.splitlines()]
    return [row[:2] + row[3:] for row in rows]


@dataclass(frozen=True)
class Volatile:
    """`pattern` is a glob over the whole path; its `*` matches a slash, too."""

    pattern: str
    reason: str
    everything: bool = False
    normal: Callable[[bytes], object] | None = None


TABLE: tuple[Volatile, ...] = (
    # made anew for each machine, or by chance
    Volatile("/etc/machine-id", "the machine's identity"),
    Volatile("/var/lib/dbus/machine-id", "the machine's identity"),
    Volatile("/etc/ssh/ssh_host_*", "SSH host keys"),
    Volatile("/etc/ssl/certs/ssl-cert-snakeoil.pem", "a certificate made at installation"),
    Volatile("/etc/ssl/private/ssl-cert-snakeoil.key", "a private key made at installation"),
    Volatile("/var/lib/systemd/random-seed", "a random seed"),
    Volatile("/boot/loader/random-seed", "a random seed"),
    Volatile("/var/lib/systemd/credential.secret", "a key made by chance"),
    Volatile("/etc/fstab", "UUIDs of file systems", normal=_without_uuids),
    Volatile("/boot/grub/grub.cfg", "UUIDs of file systems", normal=_without_uuids),
    Volatile("/boot/grub/*/load.cfg", "UUIDs of file systems", normal=_without_uuids),
    # made of other files, which are compared themselves
    Volatile("/boot/initrd.img-*", "the initramfs, made of other files"),
    Volatile("/boot/initramfs-*", "the initramfs, made of other files"),
    Volatile("/boot/grub/*/core.img", "the boot loader's core, made of other files and UUIDs"),
    Volatile("/etc/ld.so.cache", "the linker's cache"),
    Volatile("/var/cache/*", "caches", everything=True),
    Volatile("*/__pycache__/*", "Python's caches", everything=True),
    # the same said in another order, or on another day
    Volatile("/var/lib/dpkg/status", "the order of dpkg's records", normal=_paragraphs),
    Volatile("/var/lib/dpkg/available", "the order of dpkg's records", normal=_paragraphs),
    Volatile("/var/lib/dpkg/*-old", "dpkg's backups", everything=True),
    Volatile("/var/lib/rpm/__db.*", "rpm's locks", everything=True),
    Volatile("/var/lib/rpm/*", "rpm's database, of the packages that are compared"),
    Volatile("/usr/lib/sysimage/rpm/*", "rpm's database, of the packages that are compared"),
    Volatile("/var/lib/dnf/*", "dnf's memory of what was done when", everything=True),
    Volatile("/var/lib/yum/*", "yum's memory of what was done when", everything=True),
    Volatile("/etc/shadow", "the day a password was changed", normal=_without_days),
    Volatile("/etc/passwd-", "backups of the user database", everything=True),
    Volatile("/etc/group-", "backups of the user database", everything=True),
    Volatile("/etc/shadow-", "backups of the user database", everything=True),
    Volatile("/etc/gshadow-", "backups of the user database", everything=True),
    # what a machine that ran has left
    Volatile("/var/log/*", "logs", everything=True),
    Volatile("/var/lib/apt/lists/*", "package lists", everything=True),
    Volatile("/tmp/*", "temporary files", everything=True),
    Volatile("/var/tmp/*", "temporary files", everything=True),
    Volatile("/run/*", "the state of a running machine", everything=True),
)


def judged(difference: Difference, path: bytes, a: Reader, b: Reader) -> tuple[Difference, ...]:
    """The difference of a file, told apart into what is explained and what is not."""
    row = next((row for row in TABLE if fnmatchcase(difference.name, row.pattern)), None)
    if row is None:
        return (difference,)
    if row.everything:
        return (replace(difference, reason=row.reason),)
    held = tuple(change for change in difference.changes if change.field in _HELD)
    if not held or not _agree(row, a(path), b(path)):
        return (difference,)
    rest = tuple(change for change in difference.changes if change.field not in _HELD)
    explained = replace(difference, changes=held, reason=row.reason)
    return (replace(difference, changes=rest), explained) if rest else (explained,)


def _agree(row: Volatile, a: bytes | None, b: bytes | None) -> bool:
    if row.normal is None:
        return True
    return a is not None and b is not None and row.normal(a) == row.normal(b)
