"""Execute the plan of a registry."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.publish.image import Image
from bakery.publish.outcome import Outcome
from bakery.publish.registry import container_disk, referrers
from bakery.publish.registry import plan as plans
from bakery.publish.registry.plan import Attach, Delete, Push, Tag
from bakery.publish.registry.referrers import Artifact, Referrers
from bakery.publish.registry.skopeo import Remote
from bakery.publish.target import Repository
from bakery.store.store import Store, work_folder
from provisioner.errors import BadInput, BakeryError
from provisioner.events import Monitor, phase, warn
from provisioner.process import run


def publish(
    image: Image,
    repository: Repository,
    target: str,
    store: Store,
    *,
    keep: int | None,
    dry_run: bool,
    monitor: Monitor,
) -> Outcome:
    """Publish a container image as it is, and a disk as a containerDisk.

    Raises DiskFull, MissingHere, Refused, Unreachable.
    """
    run.require("skopeo")
    remote, wanted = Remote(repository), plans.tags(image.id, repository.tag)
    with _archive(image, wanted[0], store, monitor) as archive:
        digest, attached = manifest_digest(archive), _referrers(image, archive)
        actions = plans.plan(wanted, digest, _there(remote, wanted, keep), keep)
        if attached and remote.digest(referrers.tag(digest)) != attached.digest:
            actions = (*actions, Attach(referrers.tag(digest)))
        retired = () if dry_run else _execute(remote, actions, archive, attached, store, monitor)
    return Outcome(
        target=target,
        name=image.name,
        location=f"{remote.name}@sha256:{digest}",
        version=wanted[0],
        sha256=image.sha256,
        uploaded=any(isinstance(action, Push) for action in actions),
        actions=tuple(map(str, actions)),
        retired=retired,
        dry_run=dry_run,
    )


@contextmanager
def _archive(image: Image, tag: str, store: Store, monitor: Monitor) -> Iterator[Path]:
    if image.format == "oci":
        yield image.path
        return
    with work_folder(store) as work:
        with phase(monitor, "write the container image of the disk"):
            archive = container_disk.write(image, f"{image.name}:{tag}", work)
        yield archive


def _referrers(image: Image, archive: Path) -> Referrers | None:
    """The SBOMs of a container image; None for a disk, or if its manifest does not say what is in it."""
    if image.format != "oci" or "installed" not in image.manifest or "plan" not in image.manifest:
        return None
    from bakery.description import components, files  # slow to import

    texts = files.texts(components.of_manifest(image.path, image.manifest))
    kinds = {files.CYCLONEDX: referrers.CYCLONEDX, files.SPDX: referrers.SPDX}
    found = (Artifact(kinds[suffix], image.name + suffix, texts[suffix].encode()) for suffix in kinds)
    with tarfile.open(archive, "r:") as members:
        manifest = members.extractfile(f"blobs/sha256/{manifest_digest(archive)}")
        return referrers.layout(manifest.read(), tuple(found)) if manifest else None


def manifest_digest(archive: Path) -> str:
    """Return the digest (hexadecimal) of the manifest of an OCI archive. Raises BadInput."""
    try:
        with tarfile.open(archive, "r:") as members:
            index = members.extractfile("index.json")
            found = json.load(index)["manifests"][0]["digest"] if index else ""
    except (tarfile.TarError, KeyError, ValueError):
        found = ""
    if not found.startswith("sha256:"):
        raise BadInput(f"{archive} is not an OCI archive.", "Bake it again with --format oci.")
    return str(found).removeprefix("sha256:")


def _there(remote: Remote, wanted: tuple[str, ...], keep: int | None) -> dict[str, Tag]:
    """The wanted tags and, if old images are to be deleted, all tags: one may name their manifest, too."""
    names = remote.tags()
    asked = names if keep is not None else [name for name in names if name in wanted]
    found = (remote.tag(name) for name in asked)
    return {tag.name: tag for tag in found if tag is not None}


def _execute(
    remote: Remote,
    actions: tuple[plans.Action, ...],
    archive: Path,
    attached: Referrers | None,
    store: Store,
    monitor: Monitor,
) -> tuple[str, ...]:
    """Returns the tags of the images that were deleted."""
    retired = []
    for action in actions:
        match action:
            case Push(tag):
                with phase(monitor, str(action)):
                    remote.push(archive, tag)
            case Attach(tag):
                assert attached
                with phase(monitor, str(action)), work_folder(store) as work:
                    referrers.write(attached, work)
                    remote.push_layout(work, referrers.NAME, tag)
            case Delete(tag):
                try:
                    remote.delete(tag)
                    retired.append(tag)
                except BakeryError as error:  # many registries do not permit it
                    warn(monitor, f"The old image {tag} was not deleted. {error}")
    return tuple(retired)
