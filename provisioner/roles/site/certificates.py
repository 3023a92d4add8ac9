"""Certificate authorities that the image trusts in addition to those of the distribution."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from provisioner.actions import Action, Put, Run
from provisioner.roles import Context
from provisioner.steps import Manager, Step

# update-ca-certificates(8) reads files with the suffix .crt; update-ca-trust(8) reads every file.
_FOLDERS: Mapping[Manager, str] = {
    "apt": "/usr/local/share/ca-certificates",
    "yum": "/etc/pki/ca-trust/source/anchors",
    "dnf": "/etc/pki/ca-trust/source/anchors",
}
UPDATE: Mapping[Manager, tuple[str, ...]] = {
    "apt": ("update-ca-certificates",),
    "yum": ("update-ca-trust", "extract"),
    "dnf": ("update-ca-trust", "extract"),
}
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class TrustCertificates:
    """Trust these authorities: contents (PEM) by paths; `update` rebuilds the system's bundle."""

    files: tuple[tuple[str, bytes], ...]
    update: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"trust the authorities {', '.join(path.rpartition('/')[2] for path, _ in self.files)}"

    def actions(self) -> tuple[Action, ...]:
        return (*(Put(path, data, 0o644) for path, data in self.files), Run(self.update))


def steps(context: Context) -> Iterator[Step]:
    """One step, or none."""
    found = tuple(files(context).items())
    if found:
        yield TrustCertificates(found, UPDATE[context.manager])


def files(context: Context) -> dict[str, bytes]:
    """The files by path. Each has one certificate, which update-ca-certificates requires."""
    folder, found = _FOLDERS[context.manager], {}
    for name, pem in context.customization.ca_certificates:
        for number, one in enumerate(split(pem), start=1):
            suffix = f"-{number}" if number > 1 else ""
            found[f"{folder}/{name}{suffix}.crt"] = one
    return found


def split(pem: bytes) -> tuple[bytes, ...]:
    """The certificates of a PEM file, each with its armor lines; text between them is dropped."""
    return tuple(one.replace(b"\r\n", b"\n") + b"\n" for one in _CERTIFICATE.findall(pem))


def digests(context: Context) -> dict[str, str]:
    """The SHA-256 (hex) of each file, by path; the tests of the image accept these files only."""
    return {path: hashlib.sha256(data).hexdigest() for path, data in files(context).items()}
