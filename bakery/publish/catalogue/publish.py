"""Execute the plan of a catalogue."""

from __future__ import annotations

import datetime
import json
from typing import Any

from bakery.catalogue import streams
from bakery.publish.catalogue import plan as plans
from bakery.publish.catalogue.plan import Plan, Remove, UploadImage, Write
from bakery.publish.catalogue.storage import Changed, Storage
from bakery.publish.image import Image
from bakery.publish.outcome import Outcome
from provisioner.errors import BadInput, BakeryError
from provisioner.events import Monitor, note

_ATTEMPTS = 5


def publish(
    image: Image, storage: Storage, target: str, *, keep: int | None, dry_run: bool, monitor: Monitor
) -> Outcome:
    """Publish a disk; without changes if the catalogue has it.

    Raises BadInput, DiskFull, Refused, Unreachable.
    """
    if image.format != "qcow2":
        raise BadInput(
            "A catalogue is for disks; this is a container image.", "Publish it with --to oci://…."
        )
    if dry_run:
        return _outcome(image, storage, _plan(image, storage, keep), target, dry_run=True)
    with storage.locked():
        for _ in range(_ATTEMPTS):
            planned = _plan(image, storage, keep)
            storage.discard_unfinished(plans.folder(image), planned.entry.path)
            try:
                _execute(image, storage, planned, monitor)
            except Changed:
                note(monitor, "Another publisher has changed the catalogue; reading it again.")
                continue
            return _outcome(image, storage, planned, target, dry_run=False)
    raise BakeryError(f"Other publishers keep changing {storage.url}.", "Publish the image again.")


def _plan(image: Image, storage: Storage, keep: int | None) -> Plan:
    before, index = _document(storage, streams.IMAGES), _document(storage, streams.INDEX)
    files = storage.files(plans.folder(image))
    now = datetime.datetime.now(datetime.UTC)
    planned = plans.plan(image, before, index, files, keep, now)
    if planned.entry.path in files and not storage.has(planned.entry.path, image):
        return plans.plan(image, before, index, files - {planned.entry.path}, keep, now)
    return planned


def _document(storage: Storage, path: str) -> dict[str, Any]:
    content = storage.read(path)
    try:
        found = json.loads(content) if content is not None else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"{storage.url}{path} is not a document of a catalogue.", "Choose another --to.")
    return found


def _execute(image: Image, storage: Storage, planned: Plan, monitor: Monitor) -> None:
    for action in planned.actions:
        match action:
            case UploadImage(path):
                storage.upload(path, image, monitor)
            case Write(path, content):
                storage.write(path, content)
            case Remove(path):
                storage.remove(path)


def _outcome(image: Image, storage: Storage, planned: Plan, target: str, *, dry_run: bool) -> Outcome:
    return Outcome(
        target=target,
        name=image.name,
        location=storage.url + planned.entry.path,
        version=planned.entry.version,
        sha256=image.sha256,
        uploaded=planned.uploads,
        actions=tuple(str(action) for action in planned.actions),
        retired=planned.retired,
        dry_run=dry_run,
    )
