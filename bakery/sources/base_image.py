"""A base in the store: built from packages by mkosi, fetched and checked against its digest, or a file.

bases/<id>.qcow2        the base; of a user's own qcow2 a symbolic link to it, which is only read
downloads/<id>.part     what has arrived of a vendor's image, and in <id>.json of which one
downloads/<id>.damaged  what arrived whole and had the wrong digest
"""

from __future__ import annotations

import datetime
import lzma
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bakery.image import mkosi
from bakery.image.bases import Base, LocalImage, VendorImage
from bakery.image.mkosi import Build
from bakery.runtime import digest, qemu_img
from bakery.runtime.mirror import Mirror
from bakery.store.locks import alone, in_use, turn
from bakery.store.store import Store, commit, is_whole, read_manifest, set_aside, used
from provisioner.errors import BadInput, BakeryError, DiskFull, Unreachable, WrongChecksum
from provisioner.events import Monitor, line, note, phase
from provisioner.process import run

_OLD_DAYS = 30


@dataclass(frozen=True)
class Sources:
    """Where a base may come from, beside what it says itself."""

    mirror: Mirror  # of packages, for one that is built
    base_urls: tuple[str, ...] = ()  # tried before the vendor's own
    offline: bool = False  # what the store does not have is not fetched


@contextmanager
def ready(
    base: Base, store: Store, sources: Sources, work: Path, monitor: Monitor, *, rebuild: bool
) -> Iterator[None]:
    """Have the base in the store, and nobody remove it, while the block runs.

    Raises Unreachable, WrongChecksum, BadInput, MissingHere, DiskFull, CommandFailed.
    """
    path = store.base(base.id)
    there = False
    while not there:
        with turn(store.lock(f"base-{base.id}"), lambda: note(monitor, "Waiting for another bake's base.")):
            if rebuild:
                _forget(base, store, monitor)
            _ensure(base, store, sources, work, monitor)
        rebuild = False
        with in_use(path) as there:  # not there: it was removed in between
            if there:
                used(path)
                yield


def _ensure(base: Base, store: Store, sources: Sources, work: Path, monitor: Monitor) -> None:
    path = store.base(base.id)
    known = read_manifest(path)
    if known and _whole(path, known["sha256"], monitor):
        _mention_age(known, monitor)
        return
    disk = _made(base, store, sources, work, monitor)
    _forget(base, store, monitor)
    manifest = {"base": base.name, "sha256": digest.of(disk), "size": disk.stat().st_size, "made": _now()}
    commit(disk, path, manifest)


def _made(base: Base, store: Store, sources: Sources, work: Path, monitor: Monitor) -> Path:
    """A disk in `work`, qcow2, or a symbolic link to one."""
    source = base.source
    if isinstance(source, LocalImage):
        return _own(source.path, work)
    if isinstance(source, VendorImage) and urlsplit(source.url).scheme == "file":
        return _own(_checked_file(base, source), work)
    if sources.offline:
        what = source.url if isinstance(source, VendorImage) else "its packages"
        raise Unreachable(
            f"The base {base.name} is not in the cache, {store.root}, and --offline forbids to get {what}.",
            _ways_out(base),
        )
    if isinstance(source, VendorImage):
        return _fetched(base, source, store, sources, work, monitor)
    return _build(source, store, sources.mirror, work, monitor)


def _forget(base: Base, store: Store, monitor: Monitor) -> None:
    """Not before the last bake that uses it ended: its checkpoints would hold what no base is."""
    try:
        with alone(store.base(base.id), lambda: note(monitor, "Waiting for bakes that use the old base.")):
            store.forget_base(base.id)
    except FileNotFoundError:
        store.forget_base(base.id)


def _whole(path: Path, wanted: str, monitor: Monitor) -> bool:
    with phase(monitor, "check the base"):
        if is_whole(path) and digest.of(path) == wanted:
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
        run.stream(run.sandbox_argv(command), lambda text: line(monitor, text))
        disk = work / "base.qcow2"
        qemu_img.to_qcow2(folder / "out" / "base.raw", disk)
    shutil.rmtree(folder)
    shutil.rmtree(work / mkosi.WORKSPACE)
    return disk


# --- a vendor's image --------------------------------------------------------------------------


def _ways_out(base: Base) -> str:
    return (
        f"Get the image where there is a network, and give it: --base-image FILE --family {base.family}; "
        "or name a mirror: --base-url URL."
    )


def _fetched(
    base: Base, image: VendorImage, store: Store, sources: Sources, work: Path, monitor: Monitor
) -> Path:
    from bakery.sources import download

    part = store.download(base.id)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    wanted = download.Wanted(download.several(sources.base_urls, image.url), image.digest, image.algorithm)
    with in_use(part), phase(monitor, f"fetch {image.url}"):
        try:
            download.fetch(wanted, part, monitor)
        except Unreachable as error:
            kept = f"{error.hint} What has arrived is kept in the cache, {part.parent}.".strip()
            raise Unreachable(error.message, f"{kept} {_ways_out(base)}") from None
        disk = _taken(part, image.url, work, keep=False)
    part.unlink(missing_ok=True)
    part.with_suffix(".json").unlink(missing_ok=True)
    return disk


def _checked_file(base: Base, image: VendorImage) -> Path:
    path = Path(unquote(urlsplit(image.url).path))
    if not path.is_file():
        raise Unreachable(f"{image.url} could not be fetched: there is no such file.", _ways_out(base))
    found = digest.of(path, image.algorithm)
    if found != image.digest:
        raise WrongChecksum(
            f"{image.url} has the {image.algorithm} {found}, pinned is {image.digest}; it was not used.",
            "If the file was replaced, check where it comes from and change the pin.",
        )
    return path


# --- what vendors ship: qcow2, raw, either of them in xz ---------------------------------------


def _own(path: Path, work: Path) -> Path:
    """Of a file that is not ours; it is not copied if it can be used as it is."""
    return _taken(path, str(path), work, keep=True)


def _taken(path: Path, name: str, work: Path, *, keep: bool) -> Path:
    """`work`/base.qcow2 of a file in any of the forms; moved there, or linked to if it is to be kept.

    Raises BadInput for what is no disk image that stands alone.
    """
    disk = work / "base.qcow2"
    if _starts(path, _XZ):
        path, keep = _unpacked(path, name, work / "base.unpacked"), False
    if not _starts(path, _QCOW2):
        _require_boot_record(path, name)
        qemu_img.to_qcow2(path, disk)
        return disk
    _require_alone(path, name)
    if keep:
        disk.symlink_to(path)
    else:
        path.rename(disk)
    return disk


_QCOW2, _XZ = b"QFI\xfb", b"\xfd7zXZ\0"


def _starts(path: Path, magic: bytes) -> bool:
    """By its first bytes, as qemu-img would guess too; a raw disk's are a boot loader's or none."""
    with path.open("rb") as data:
        return data.read(len(magic)) == magic


def _unpacked(path: Path, name: str, target: Path) -> Path:
    try:
        with lzma.open(path) as packed, target.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (lzma.LZMAError, EOFError) as error:
        raise BadInput(f"{name} cannot be unpacked: {error}.") from None
    except OSError as error:
        raise DiskFull(f"{name} cannot be unpacked in {target.parent}: {error.strerror}.") from None
    return target


def _require_boot_record(path: Path, name: str) -> None:
    """A raw disk with a partition table, GPT's included, has this signature; a web page has not."""
    with path.open("rb") as data:
        if data.read(512)[510:] != b"\x55\xaa":
            raise BadInput(f"{name} is no disk image: neither qcow2, nor raw with a partition table.")


def _require_alone(path: Path, name: str) -> None:
    """Its digest says nothing of another file that it refers to, and that could be any file here."""
    try:
        others = qemu_img.other_files(path)
    except BakeryError as error:
        raise BadInput(f"{name} is no disk image: {error.message}") from None
    if others:
        raise BadInput(
            f"{name} is a layer over {', '.join(others)}.",
            "Make one file of them: qemu-img convert -O qcow2.",
        )
