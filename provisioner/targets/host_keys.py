"""Check ssh host keys against known_hosts, or against a file with the machine's keys.

A changed key is always refused. An unknown key is refused unless the user accepts new keys, as with
OpenSSH's StrictHostKeyChecking=accept-new; then the user is notified.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry, HostKeys, InvalidHostKey

from provisioner import named_file
from provisioner.errors import BadInput, Unreachable

USER = Path("~/.ssh/known_hosts")
SYSTEM = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True)
class Trust:
    """Which host keys to trust. `file` (.pub or known_hosts format) replaces the known_hosts files."""

    file: Path | None = None
    accept_new: bool = False


def known_keys(trust: Trust, name: str) -> HostKeys:
    """The known keys of `name` (`host` or `[host]:port`). Raises BadInput: `trust.file` is not usable."""
    if trust.file is None:
        return _all(_text(path.expanduser()) for path in (USER, SYSTEM) if path.expanduser().exists())
    found = parse(_text(trust.file), name)
    if found.lookup(name) is None:
        raise BadInput(f"{trust.file} has no key for {name}.", "Use the machine's ssh_host_*.pub file.")
    return found


def parse(text: str, name: str) -> HostKeys:
    """Parse lines of known_hosts; lines of .pub files are keys of `name`."""
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
    """Parse a line; None for lines that ssh ignores, too: comments, markers, unknown key types."""
    if not row or row.startswith(("#", "@")):
        return None
    try:
        entry = HostKeyEntry.from_line(row)
    except (InvalidHostKey, paramiko.SSHException):
        return None
    return entry if entry and entry.key else None


def _text(path: Path) -> str:
    try:
        return named_file.content(path).decode("utf-8", "replace")
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.") from None


class Refuse(paramiko.MissingHostKeyPolicy):
    """Refuses unknown keys: raises Unreachable with the fingerprint."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise Unreachable(
            f"The host key of {hostname} is not known: {fingerprint(key)}.",
            "Verify the fingerprint on the machine's console or with its owner. Then pass the public key "
            "with --host-key FILE, or accept it with --accept-new.",
        )


class AcceptNew(paramiko.MissingHostKeyPolicy):
    """Accepts unknown keys and adds them to a known_hosts file; `notice` is then a sentence about it."""

    def __init__(self, keep_in: Path) -> None:
        self._keep_in = keep_in
        self.notice = ""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        add_known_host(self._keep_in, hostname, key)
        self.notice = f"Accepted the unknown host key of {hostname}: {fingerprint(key)}. "
        self.notice += f"It was added to {self._keep_in}."


def add_known_host(file: Path, name: str, key: paramiko.PKey) -> None:
    """Append a key to a known_hosts file, creating the file if necessary."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("ab+") as out:
        if out.tell():
            out.seek(-1, 2)
            if out.read(1) != b"\n":
                out.write(b"\n")
        out.write(f"{name} {key.get_name()} {key.get_base64()}\n".encode())


def fingerprint(key: paramiko.PKey) -> str:
    """Type and fingerprint of a key, in the format of `ssh-keygen -l`."""
    return f"{key.get_name()} {key.fingerprint}"
