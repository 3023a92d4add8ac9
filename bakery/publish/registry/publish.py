"""Execute the plan of a registry."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bakery.output.oci.config import ARCHITECTURES
from bakery.publish.image import Image
from bakery.publish.outcome import Outcome
from bakery.publish.registry import attach, container_disk, indexes, referrers
from bakery.publish.registry import plan as plans
from bakery.publish.registry.plan import Delete, Part, Push, PushIndex, Tag
from bakery.publish.registry.skopeo import Remote
from bakery.publish.target import Repository
from bakery.store.store import Store, work_folder
from provisioner.errors import BadInput, BakeryError, Interrupted
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

    Its SBOMs are attached. Raises DiskFull, MissingHere, Refused, Unreachable.
    """
    run.require("skopeo")
    remote, wanted = Remote(repository), plans.tags(image.id, repository.tag)
    with _archive(image, wanted[0], store, monitor) as archive:
        subject = described(archive)
        digest = str(subject["digest"]).removeprefix("sha256:")
        part = Part(digest, int(subject["size"]), ARCHITECTURES[image.system.architecture])
        actions = plans.plan(wanted, part, _there(remote, wanted, keep), keep)
        artifacts = attach.missing(remote, digest, referrers.sboms(image, subject), monitor)
        retired: tuple[str, ...] = ()
        if not dry_run:
            retired = _execute(remote, actions, archive, monitor)
            attach.attach(remote, digest, artifacts, monitor)
    return Outcome(
        target=target,
        name=image.name,
        location=f"{remote.name}@sha256:{digest}",
        version=wanted[0],
        sha256=image.sha256,
        uploaded=any(isinstance(action, Push) for action in actions),
        actions=(*map(str, actions), *(f"attach {one.title}" for one in artifacts)),
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


def described(archive: Path) -> dict[str, Any]:
    """Return the descriptor of the manifest in an OCI archive. Raises BadInput."""
    try:
        with tarfile.open(archive, "r:") as members:
            index = members.extractfile("index.json")
            found = json.load(index)["manifests"][0] if index else {}
    except (tarfile.TarError, KeyError, ValueError):
        found = {}
    if not str(found.get("digest", "")).startswith("sha256:"):
        raise BadInput(f"{archive} is not an OCI archive.", "Bake it again with --format oci.")
    return {name: found[name] for name in ("mediaType", "digest", "size")}


def _there(remote: Remote, wanted: tuple[str, ...], keep: int | None) -> dict[str, Tag]:
    """The wanted tags and, if old images are to be deleted, all tags: one may name their manifest, too."""
    names = [name for name in remote.tags() if not referrers.is_such_a_tag(name)]
    asked = names if keep is not None else [name for name in names if name in wanted]
    found = (remote.tag(name) for name in asked)
    return {tag.name: tag for tag in found if tag is not None}


def _execute(
    remote: Remote, actions: tuple[plans.Action, ...], archive: Path, monitor: Monitor
) -> tuple[str, ...]:
    """Returns the tags of the images that were deleted."""
    retired = []
    for action in actions:
        match action:
            case Push(tag):
                with phase(monitor, str(action)):
                    remote.push(archive, f":{tag}" if tag else f"@{described(archive)['digest']}")
            case PushIndex(tag, parts):
                with phase(monitor, str(action)):
                    indexes.push(remote, tag, [indexes.descriptor(part) for part in parts])
            case Delete(tag, digest):
                try:
                    attach.delete(remote, digest)
                    remote.delete(f":{tag}")
                    retired.append(tag)
                except Interrupted:
                    raise
                except BakeryError as error:  # many registries do not permit it
                    warn(monitor, f"The old image {tag} was not deleted. {error}")
    return tuple(retired)
