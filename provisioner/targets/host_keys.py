"""Whether the machine that answers is the one that is meant: known_hosts, or a file with its keys.

A key that differs from a known one is refused always; an unknown one unless the user said that the
first key seen is to be believed (OpenSSH's StrictHostKeyChecking=accept-new), and then it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey

from provisioner.errors import BadInput, Unreachable

USER = Path("~/.ssh/known_hosts")
SYSTEM = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True)
class Trust:
    """`file`: the machine's keys, as a .pub file or in the form of known_hosts; it alone counts then."""

    file: Path | None = None
    accept_new: bool = False


def known_keys(trust: Trust, name: str) -> HostKeys:
    """The keys on file for `name`, `host` or `[host]:port`. Raises BadInput for an unusable file."""
    if trust.file is None:
        return _all(_text(path.expanduser()) for path in (USER, SYSTEM) if path.expanduser().exists())
    found = parse(_text(trust.file), name)
    if found.lookup(name) is None:
        raise BadInput(f"{trust.file} has no key of {name}.", "Give the machine's ssh_host_….pub.")
    return found


def parse(text: str, name: str) -> HostKeys:
    """Lines of known_hosts, or of .pub files, whose keys then are those of `name`."""
    rows = [row.strip() for row in text.splitlines()]
    named = [f"{name} {row}" if _is_public_key(row) else row for row in rows]
    return _all(["\n".join(named)])


def _is_public_key(row: str) -> bool:
    return row.startswith(("ssh-", "ecdsa-sha2-", "sk-"))


def _all(texts: Iterator[str] | list[str]) -> HostKeys:
    keys = HostKeys()
    for text in texts:
        for row in text.splitlines():
            entry = _entry(row.strip())
            for name in entry.hostnames if entry else ():
                assert entry and entry.key
                keys.add(name, entry.key.get_name(), entry.key)
    return keys


def _entry(row: str) -> HostKeyEntry | None:
    """None for what ssh passes over too: a comment, a marker, a kind of key nobody here knows."""
    if not row or row.startswith(("#", "@")):
        return None
    try:
        entry = HostKeyEntry.from_line(row)
    except (InvalidHostKey, paramiko.SSHException):
        return None
    return entry if entry and entry.key else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from None


class Refuse(paramiko.MissingHostKeyPolicy):
    """Raises Unreachable, with the fingerprint to compare."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise Unreachable(
            f"The host key of {hostname} is not known: {fingerprint(key)}.",
            "Compare it with what the machine's console or owner says; then give its public key with "
            "--host-key FILE, or believe it with --accept-new.",
        )


class AcceptNew(paramiko.MissingHostKeyPolicy):
    """Believes an unknown key, and keeps it where ssh does; `news` says so afterwards."""

    def __init__(self, keep_in: Path) -> None:
        self._keep_in = keep_in
        self.notice = ""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        add_known_host(self._keep_in, hostname, key)
        self.notice = f"The host key of {hostname} was not known and is believed: {fingerprint(key)}. "
        self.notice += f"It is in {self._keep_in} now."


def add_known_host(file: Path, name: str, key: paramiko.PKey) -> None:
    """Append to a known_hosts file; what is in it stays as it is."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("ab+") as out:
        if out.tell():
            out.seek(-1, 2)
            if out.read(1) != b"\n":
                out.write(b"\n")
        out.write(f"{name} {key.get_name()} {key.get_base64()}\n".encode())


def fingerprint(key: paramiko.PKey) -> str:
    """As `ssh-keygen -l` has it."""
    return f"{key.get_name()} {key.fingerprint}"
