"""The calls of skopeo that a publication makes, and its errors in our words.

skopeo reads credentials as podman does: of `skopeo login`, or of `docker login`. They are never arguments.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.publish.registry.plan import Part, Tag
from bakery.publish.target import Repository
from provisioner.errors import BakeryError, CommandFailed, DiskFull, Refused, Unreachable
from provisioner.process import run

_CREATED = "org.opencontainers.image.created"
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[::1\])(:\d+)?")
_ABSENT = re.compile(r"manifest unknown|name unknown|not known|not found|404", re.IGNORECASE)
_REFUSED = re.compile(r"unauthorized|authentication required|denied|forbidden|401|403", re.IGNORECASE)
_TLS = re.compile(r"x509|certificate|HTTP response to HTTPS client", re.IGNORECASE)
_FULL = re.compile(r"no space left|quota|insufficient storage", re.IGNORECASE)
_OLD = re.compile(r"Manifest list must be converted")  # before 1.14, with artifactType
_SILENT = re.compile(
    r"connection refused|no such host|i/o timeout|no route|unreachable|server misbehaving|EOF"
)


@dataclass(frozen=True)
class Remote:
    """A repository. As with Docker, a registry on this machine may have no TLS."""

    repository: Repository

    @property
    def name(self) -> str:
        return f"{self.repository.registry}/{self.repository.name}"

    def tags(self) -> list[str]:
        """The names of all tags; none without the repository."""
        try:
            done = self._call("list-tags", self._tls(), f"docker://{self.name}")
        except _Absent:
            return []
        found: list[str] = json.loads(done)["Tags"] or []
        return found

    def tag(self, name: str) -> Tag | None:
        """A tag, None if it is not there."""
        raw = self.raw(f":{name}")
        if raw is None:
            return None
        digest, found = hashlib.sha256(raw).hexdigest(), json.loads(raw)
        if "manifests" in found:
            created = found.get("annotations", {}).get(_CREATED, "")
            return Tag(name, digest, created, tuple(map(_part, found["manifests"])))
        config = json.loads(self._call("inspect", self._tls(), "--config", self._url(f":{name}")))
        architecture = str(config.get("architecture", ""))
        one = Part(digest, len(raw), architecture, str(config.get("os", "")))
        return Tag(name, digest, config.get("created") or "", (one,))

    def raw(self, reference: str) -> bytes | None:
        """The bytes of a manifest or index, None if it is not there; `reference` is :TAG or @DIGEST."""
        try:
            return self._call("inspect", self._tls(), "--raw", self._url(reference)).encode()
        except _Absent:
            return None

    def push(self, archive: Path, reference: str) -> None:
        """Upload an archive that is an OCI layout to :TAG or @DIGEST; layers that are there are skipped."""
        options = ["--quiet", "--preserve-digests", self._tls("dest-")]
        self._call("copy", *options, f"oci-archive:{archive}", self._url(reference))

    def push_index(self, archive: Path, tag: str) -> None:
        """Upload the index in an OCI layout without what it lists, which is there."""
        options = ["--quiet", "--preserve-digests", "--multi-arch=index-only", self._tls("dest-")]
        self._call("copy", *options, f"oci-archive:{archive}", self._url(f":{tag}"))

    def delete(self, reference: str) -> None:
        """Delete the manifest that :TAG or @DIGEST names, with all of its tags."""
        self._call("delete", self._tls(), self._url(reference))

    def _url(self, reference: str) -> str:
        return f"docker://{self.name}{reference}"

    def _tls(self, prefix: str = "") -> str:
        local = _LOOPBACK.fullmatch(self.repository.registry)
        return f"--{prefix}tls-verify={'false' if local else 'true'}"

    def _call(self, *words: str) -> str:
        try:
            return run.call(["skopeo", *words]).stdout
        except CommandFailed as error:
            raise _cause(self.name, error) from None


def _part(descriptor: Mapping[str, Any]) -> Part:
    platform = descriptor.get("platform", {})
    digest = str(descriptor["digest"]).removeprefix("sha256:")
    names = (str(platform.get(name, "")) for name in ("architecture", "os"))
    return Part(digest, int(descriptor["size"]), *names)


class TooOld(BakeryError):
    """skopeo lacks a function that newer versions have."""


class _Absent(Exception):
    """There is no such tag or repository."""


def _cause(name: str, error: CommandFailed) -> Exception:
    last = error.tail.strip().splitlines()[-1] if error.tail.strip() else ""
    why = re.sub(r'^time=\S+ level=\S+ msg="?', "", last).rstrip('".')
    if _OLD.search(why):
        return TooOld(f"This skopeo cannot write such an index: {why}.", "Install skopeo 1.14 or later.")
    if _TLS.search(why):
        hint = "Install the certificate of its authority in /etc/containers/certs.d."
        return Unreachable(f"The registry of {name} has no certificate that is trusted: {why}.", hint)
    if _SILENT.search(why):
        return Unreachable(
            f"The registry of {name} does not answer: {why}.", "Check the name, and the network."
        )
    if _FULL.search(why):
        return DiskFull(f"The registry of {name} has no space: {why}.", "Use --keep, or a larger quota.")
    if _ABSENT.search(why):
        return _Absent(why)
    if _REFUSED.search(why):
        registry = name.partition("/")[0]
        return Refused(f"The registry of {name} refuses this: {why}.", f"Log in: skopeo login {registry}.")
    return BakeryError(f"The registry of {name} failed: {why}.")
