"""A base in the store: built from packages by mkosi, or fetched and checked against its digest."""

from __future__ import annotations

import datetime
import hashlib
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery import mkosi, qemu
from bakery.bases import Base, VendorImage
from bakery.locks import alone, in_use, turn
from bakery.mirror import Mirror
from bakery.mkosi import Build
from bakery.store import Store, commit, is_whole, read_manifest, set_aside, used
from provisioner import run
from provisioner.errors import BadInput, BakeryError, Unreachable, WrongChecksum
from provisioner.monitor import Monitor, line, note, phase

_OLD_DAYS = 30


@contextmanager
def ready(
    base: Base, store: Store, mirror: Mirror, work: Path, monitor: Monitor, *, rebuild: bool
) -> Iterator[None]:
    """Have the base in the store, and nobody remove it, while the block runs.

    Raises Unreachable, WrongChecksum, MissingHere, CommandFailed.
    """
    path = store.base(base.id)
    there = False
    while not there:
        with turn(store.lock(f"base-{base.id}"), lambda: note(monitor, "Waiting for another bake's base.")):
            if rebuild:
                _forget(base, store, monitor)
            _ensure(base, store, mirror, work, monitor)
        rebuild = False
        with in_use(path) as there:  # not there: it was removed in between
            if there:
                used(path)
                yield


def _ensure(base: Base, store: Store, mirror: Mirror, work: Path, monitor: Monitor) -> None:
    path = store.base(base.id)
    known = read_manifest(path)
    if known and _whole(path, known["sha256"], monitor):
        _mention_age(known, monitor)
        return
    if isinstance(base.source, VendorImage):
        disk = _fetch(base.source, work, monitor)
    else:
        disk = _build(base.source, store, mirror, work, monitor)
    _forget(base, store, monitor)
    manifest = {"base": base.name, "sha256": sha256(disk), "size": disk.stat().st_size, "made": _now()}
    commit(disk, path, manifest)


def _forget(base: Base, store: Store, monitor: Monitor) -> None:
    """Not before the last bake that uses it ended: its checkpoints would be layers over another base."""
    try:
        with alone(store.base(base.id), lambda: note(monitor, "Waiting for bakes that use the old base.")):
            store.forget_base(base.id)
    except FileNotFoundError:
        store.forget_base(base.id)


def sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _whole(path: Path, digest: str, monitor: Monitor) -> bool:
    with phase(monitor, "check the base"):
        if is_whole(path) and sha256(path) == digest:
            return True
    set_aside(path, "base", monitor)
    return False


def _mention_age(manifest: dict[str, str], monitor: Monitor) -> None:
    made = datetime.datetime.fromisoformat(manifest["made"])
    age = (datetime.datetime.now(datetime.UTC) - made).days
    if age > _OLD_DAYS:
        note(monitor, f"The base is {age} days old, and its kernel with it; --rebuild-base makes it anew.")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


# --- built from packages -----------------------------------------------------------------------


def _build(build: Build, store: Store, mirror: Mirror, work: Path, monitor: Monitor) -> Path:
    run.require(*mkosi.TOOLS)
    folder = work / "mkosi"
    packages = store.packages(build.release) / "mkosi"
    packages.mkdir(parents=True, exist_ok=True)
    (work / mkosi.WORKSPACE).mkdir()
    for name, text in mkosi.files(build, mirror, packages).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    command = ["mkosi", "--directory", str(folder), "--force", "build"]
    with (
        alone(packages.parent, lambda: note(monitor, f"Waiting for the package cache of {build.release}.")),
        phase(monitor, f"build the base from {build.distribution} {build.release}'s packages"),
    ):
        run.stream(run.room_argv(command), lambda text: line(monitor, text))
        disk = work / "base.qcow2"
        qemu.to_qcow2(folder / "out" / "base.raw", disk)
    shutil.rmtree(folder)
    shutil.rmtree(work / mkosi.WORKSPACE)
    return disk


# --- a vendor's image --------------------------------------------------------------------------


def _fetch(image: VendorImage, work: Path, monitor: Monitor) -> Path:
    target = work / "base.qcow2"
    with phase(monitor, f"fetch {image.url}"):
        try:
            with urllib.request.urlopen(image.url, timeout=60) as answer, target.open("wb") as out:
                shutil.copyfileobj(answer, out, 1 << 20)
        except (urllib.error.URLError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"{image.url} could not be fetched: {reason}.",
                "Check the network and the proxy variables, or change the url in the base's TOML file.",
            ) from None
        except ValueError as error:
            raise BadInput(f"The base's url cannot be used: {error}.") from None
    _check(image, target)
    return target


def _check(image: VendorImage, fetched: Path) -> None:
    found = sha256(fetched)
    if found != image.sha256:
        raise WrongChecksum(
            f"{image.url} has the sha256 {found}, pinned is {image.sha256}; it was not used.",
            "If the vendor replaced the image, check its signed checksum file and change the pin.",
        )
    try:
        qemu.virtual_size(fetched)
    except BakeryError as error:
        raise BadInput(f"{image.url} is no disk image: {error.message}") from None
