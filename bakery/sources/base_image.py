"""Provide a base in the store: built from packages by mkosi, downloaded and verified, or a local file.

bases/<id>.qcow2        the base; for a user's own qcow2 a symbolic link to it
downloads/<id>.part     an unfinished download, with its origin in <id>.json
downloads/<id>.damaged  a complete download with the wrong digest
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
from bakery.runtime import digest, host_paths, privileges, qemu_img
from bakery.runtime.mirror import Mirror
from bakery.sources import archive_date
from bakery.store.locks import exclusive_lock, lock_file, shared_lock
from bakery.store.store import Store, commit, is_intact, read_manifest, record_use, rename_damaged
from provisioner import source_date
from provisioner.disk import ext4
from provisioner.disk.file_systems import EXT, partitions
from provisioner.errors import (
    BadInput,
    BakeryError,
    DiskFull,
    Interrupted,
    MissingHere,
    Unreachable,
    WrongChecksum,
)
from provisioner.events import Monitor, line, note, phase
from provisioner.process import run

_OLD_DAYS = 30


@dataclass(frozen=True)
class SourceOptions:
    """Where to obtain a base, in addition to what the base itself defines."""

    mirror: Mirror  # Debian packages, for a base that is built
    base_urls: tuple[str, ...] = ()  # tried before the vendor's URL
    offline: bool = False  # do not download anything


@contextmanager
def provide(
    base: Base, store: Store, sources: SourceOptions, work: Path, monitor: Monitor, *, rebuild: bool
) -> Iterator[None]:
    """Ensure that the base is in the store, and lock it against removal for the block.

    Raises Unreachable, WrongChecksum, BadInput, MissingHere, DiskFull, CommandFailed.
    """
    path = store.base(base.id)
    with shared_lock(path) as there:  # bakes verify at the same time; what is wrong is mended below
        if there and not rebuild and _is_sound(path, monitor):
            record_use(path)
            yield
            return
    there = False
    while not there:
        with lock_file(
            store.lock(f"base-{base.id}"),
            lambda: note(monitor, "Waiting for another bake that creates this base."),
        ):
            if rebuild:
                _remove_unused(base, store, monitor)
            _ensure(base, store, sources, work, monitor)
        rebuild = False
        with shared_lock(path) as there:  # False: another process has removed it
            if there:
                record_use(path)
                yield


def _ensure(base: Base, store: Store, sources: SourceOptions, work: Path, monitor: Monitor) -> None:
    path = store.base(base.id)
    known = read_manifest(path)
    if known and _is_verified(path, known["sha256"], monitor):
        _note_age(known, monitor)
        return
    disk = _create_disk(base, store, sources, work, monitor)
    _remove_unused(base, store, monitor)
    manifest = {"base": base.name, "sha256": digest.of(disk), "size": disk.stat().st_size, "made": _now()}
    commit(disk, path, manifest)


def _create_disk(base: Base, store: Store, sources: SourceOptions, work: Path, monitor: Monitor) -> Path:
    """Create a qcow2, or a symbolic link to one, in `work`."""
    source = base.source
    if isinstance(source, LocalImage):
        return _use_local(source.path, work)
    if isinstance(source, VendorImage) and urlsplit(source.url).scheme == "file":
        return _use_local(_checked_file(base, source), work)
    if sources.offline:
        what = source.url if isinstance(source, VendorImage) else "its packages"
        raise Unreachable(
            f"The base {base.name} is not in the cache {store.root}; --offline forbids downloading {what}.",
            _unreachable_hint(base),
        )
    if isinstance(source, VendorImage):
        return _download(base, source, store, sources, work, monitor)
    return _build(source, store, sources.mirror, work, monitor)


def _remove_unused(base: Base, store: Store, monitor: Monitor) -> None:
    """Remove the base after the last bake that uses it: that bake still creates checkpoints over it."""
    try:
        with exclusive_lock(
            store.base(base.id), lambda: note(monitor, "Waiting for bakes that use the previous base.")
        ):
            store.remove_base(base.id)
    except FileNotFoundError:
        store.remove_base(base.id)


def _is_sound(path: Path, monitor: Monitor) -> bool:
    known = read_manifest(path)
    if known is None or not is_intact(path):
        return False
    with phase(monitor, "verify the base"):
        sound = digest.of(path) == str(known["sha256"])
    if sound:
        _note_age(known, monitor)
    return sound


def _is_verified(path: Path, expected: str, monitor: Monitor) -> bool:
    with phase(monitor, "verify the base"):
        if is_intact(path) and digest.of(path) == expected:
            return True
    rename_damaged(path, "base", monitor)
    return False


def _note_age(manifest: dict[str, str], monitor: Monitor) -> None:
    made = datetime.datetime.fromisoformat(manifest["made"])
    age = (datetime.datetime.now(datetime.UTC) - made).days
    if age > _OLD_DAYS:
        note(monitor, f"The base is {age} days old, and so is its kernel. --rebuild-base creates it again.")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


# --- built from packages -----------------------------------------------------------------------


def _build(build: Build, store: Store, mirror: Mirror, work: Path, monitor: Monitor) -> Path:
    run.require(*host_paths.programs(mkosi.TOOLS))
    _require_namespaces()
    version = mkosi.check_version(run.call(["mkosi", "--version"]).stdout)
    folder = work / "mkosi"
    packages = store.packages(build.release) / "mkosi"
    packages.mkdir(parents=True, exist_ok=True)
    (work / mkosi.WORKSPACE).mkdir()
    for name, text in mkosi.files(build, mirror, packages).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with (
        exclusive_lock(
            packages.parent, lambda: note(monitor, f"Waiting for the package cache of {build.release}.")
        ),
        phase(monitor, f"build the base from {build.distribution} {build.release}'s packages"),
    ):
        date = archive_date.of(mirror, build.release)
        argv = run.sandbox_argv(_mkosi(folder, date, version))
        run.stream(argv, lambda text: line(monitor, text), env={**run.inherited(), **_LOCALE})
        disk, raw = work / "base.qcow2", folder / "out" / "base.raw"
        _date(raw, date)
        qemu_img.to_qcow2(raw, disk)
    shutil.rmtree(folder)
    shutil.rmtree(work / mkosi.WORKSPACE)
    return disk


# Of whoever builds it, nothing may be in the base.
_LOCALE = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}
_UMASK = ("sh", "-c", 'umask 022; exec "$@"', "sh")


# What systemd-repart passes on to mkfs.vfat and mke2fs, which otherwise write the time of the clock and a
# random seed. The other two words are those that it uses itself.
_VFAT = "SYSTEMD_REPART_MKFS_OPTIONS_VFAT=--invariant"
_EXT4 = f"SYSTEMD_REPART_MKFS_OPTIONS_EXT4=-Enodiscard,lazy_itable_init=1,hash_seed={mkosi.SEED}"
_MKE2FS_DATE = "E2FSPROGS_FAKE_TIME"


def _mkosi(folder: Path, date: int, version: int) -> list[str]:
    """The command that builds the base; no time in it is later than `date`, in seconds since 1970.

    The date is in the environment, too: mkosi 24 and 25 do not pass the option to systemd-repart.
    """
    options = [f"--source-date-epoch={date}", f"--environment={source_date.VARIABLE}={date}"]
    options += [f"--environment={one}" for one in (_VFAT, _EXT4, f"{_MKE2FS_DATE}={date}")]
    if version < mkosi.READS_INITRD:
        options.append(f"--initrd-include={folder / mkosi.INITRD}")
    return [*_UMASK, "mkosi", "--directory", str(folder), "--force", *options, "build"]


def _date(disk: Path, date: int) -> None:
    """Set the times of access and change, which mke2fs takes from the folder that mkosi has made."""
    for partition in partitions(disk):
        if partition.file_system in EXT:
            ext4.set_times(disk, partition, date)


def _require_namespaces() -> None:
    """Raises MissingHere: mkosi assembles a root file system in namespaces of its own."""
    if problem := privileges.sandbox_obstacle():
        raise MissingHere(
            f"A base cannot be built from packages here: {problem}",
            "Start the container with --privileged, or use a base that is downloaded or in the cache.",
        )


# --- a vendor's image --------------------------------------------------------------------------


def _unreachable_hint(base: Base) -> str:
    return (
        f"Download the image elsewhere and use it: --base-image FILE --family {base.family}; "
        "or use a mirror: --base-url URL."
    )


def _partial_hint(part: Path) -> str:
    """A sentence about the unfinished download, "" if nothing was received."""
    kept = part.exists() and part.stat().st_size > 0
    return f"The partial download was kept in {part.parent}." if kept else ""


def _download(
    base: Base, image: VendorImage, store: Store, sources: SourceOptions, work: Path, monitor: Monitor
) -> Path:
    from bakery.sources import download

    part = store.download(base.id)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.touch()
    pinned = download.PinnedFile(
        download.candidate_urls(sources.base_urls, image.url), image.digest, image.algorithm
    )
    with shared_lock(part), phase(monitor, f"download {image.url}"):
        try:
            download.fetch(pinned, part, monitor)
        except Unreachable as error:
            hints = (error.hint, _partial_hint(part), _unreachable_hint(base))
            raise Unreachable(error.message, " ".join(filter(None, hints))) from None
        disk = _to_base_disk(part, image.url, work, keep=False)
    part.unlink(missing_ok=True)
    part.with_suffix(".json").unlink(missing_ok=True)
    return disk


def _checked_file(base: Base, image: VendorImage) -> Path:
    path = Path(unquote(urlsplit(image.url).path))
    if not path.is_file():
        raise Unreachable(f"Cannot download {image.url}: no such file.", _unreachable_hint(base))
    found = digest.of(path, image.algorithm)
    if found != image.digest:
        raise WrongChecksum(
            f"{image.url} has the {image.algorithm} {found}, expected {image.digest}; it was not used.",
            "If the file was replaced, verify its origin and update the pin.",
        )
    return path


# --- formats of vendors: qcow2, raw, both also in xz ---------------------------------------


def _use_local(path: Path, work: Path) -> Path:
    """Use a local file; do not copy it if it can be used unchanged."""
    return _to_base_disk(path, str(path), work, keep=True)


def _to_base_disk(path: Path, name: str, work: Path, *, keep: bool) -> Path:
    """Return `work`/base.qcow2, created from a file in any supported format.

    A qcow2 is moved, or with `keep` linked. Raises BadInput for files that are not independent disk images.
    """
    disk = work / "base.qcow2"
    if _starts_with(path, _XZ):
        path, keep = _decompress(path, name, work / "base.decompressed"), False
    if not _starts_with(path, _QCOW2):
        _require_boot_record(path, name)
        qemu_img.to_qcow2(path, disk)
        return disk
    _require_independent(path, name)
    if keep:
        disk.symlink_to(path)
    else:
        path.rename(disk)
    return disk


_QCOW2, _XZ = b"QFI\xfb", b"\xfd7zXZ\0"


def _starts_with(path: Path, magic: bytes) -> bool:
    """Whether a file starts with these bytes, by which qemu-img, too, recognizes formats."""
    with path.open("rb") as data:
        return data.read(len(magic)) == magic


def _decompress(path: Path, name: str, target: Path) -> Path:
    try:
        with lzma.open(path) as packed, target.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    except (lzma.LZMAError, EOFError) as error:
        raise BadInput(f"Cannot decompress {name}: {error}.") from None
    except OSError as error:
        raise DiskFull(f"Cannot decompress {name} to {target.parent}: {error.strerror}.") from None
    return target


def _require_boot_record(path: Path, name: str) -> None:
    """Raise BadInput without the signature that every partition table (also GPT) has at byte 510."""
    with path.open("rb") as data:
        if data.read(512)[510:] != b"\x55\xaa":
            raise BadInput(f"{name} is not a disk image: neither qcow2, nor raw with a partition table.")


def _require_independent(path: Path, name: str) -> None:
    """Raise BadInput for a qcow2 with a backing or data file.

    The digest does not cover that file, which could be any file of this machine.
    """
    try:
        others = qemu_img.other_files(path)
    except Interrupted:
        raise
    except BakeryError as error:
        raise BadInput(f"{name} is not a disk image: {error.message}") from None
    if others:
        raise BadInput(
            f"{name} is a layer over {', '.join(others)}.",
            "Merge them into one file with qemu-img convert -O qcow2.",
        )
