"""Attach artifacts to an image in a registry, and delete them with it."""

from __future__ import annotations

from typing import Any

from bakery.publish.registry import indexes, referrers
from bakery.publish.registry.referrers import Artifact
from bakery.publish.registry.skopeo import Remote, TooOld
from provisioner.events import Monitor, phase, warn


def missing(
    remote: Remote, digest: str, artifacts: tuple[Artifact, ...], monitor: Monitor
) -> tuple[Artifact, ...]:
    """The artifacts that the registry does not list for the image with this digest (hexadecimal)."""
    if not artifacts:
        warn(monitor, "No SBOM is attached: the manifest of the image does not list its packages.")
    found = {one["digest"] for one in _listed(remote, digest)}
    return tuple(one for one in artifacts if one.digest not in found)


def attach(remote: Remote, digest: str, artifacts: tuple[Artifact, ...], monitor: Monitor) -> None:
    """Upload the artifacts, then list them for registries without the referrers API."""
    for one in artifacts:
        with phase(monitor, f"attach {one.title}"), indexes.written(one.entries()) as archive:
            remote.push(archive, f"@{one.digest}")
    if not artifacts:
        return
    try:
        merged = referrers.merged(_listed(remote, digest), artifacts)
        indexes.push(remote, referrers.tag_of(digest), merged)
    except TooOld as error:
        text = "The SBOMs are in the registry, but only one with the referrers API lists them."
        warn(monitor, f"{text} {error}")


def delete(remote: Remote, digest: str) -> None:
    """Delete what refers to an image."""
    found = _listed(remote, digest)
    for one in found:
        remote.delete(f"@{one['digest']}")
    if found:
        remote.delete(f":{referrers.tag_of(digest)}")


def _listed(remote: Remote, digest: str) -> list[dict[str, Any]]:
    index = remote.raw(f":{referrers.tag_of(digest)}")
    return referrers.listed(index) if index else []
