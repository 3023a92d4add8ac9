"""The package cache of one bake: a private copy of the shared one, so that bakes can run apt at once.

apt and dnf lock their caches while they download and install, for minutes. Therefore each bake works on a
folder of hard links, which takes milliseconds, and its new files are moved to the shared cache afterwards.

    archives/   apt completes a file in partial/ and renames it, so that a linked file never changes
    lists/      also replaced by renames; the lists of one bake belong together and are merged as a whole
    rpm/        dnf and yum rewrite their metadata in place: it is copied, and only packages are linked

partial/ and apt's lock files are private. Two bakes may download the same file; the later one stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bakery.store.locks import exclusive_lock, try_exclusive_lock
from provisioner.events import Monitor, note, warn

_PRIVATE = ("lock", "partial")  # names that are not taken from the shared cache, at the top of a folder
_PACKAGES = (".deb", ".rpm")
FOLDERS = ("archives", "lists", "rpm")

# Inode, modification time (ns) and size of each file that was taken, by its path in the cache.
Taken = Mapping[Path, tuple[int, int, int]]


@contextmanager
def private(shared: Path, work: Path, monitor: Monitor) -> Iterator[Path]:
    """Yield a package cache with the content of `shared`, for this bake alone; then merge it back.

    Files are also merged if the block fails, for they are complete; but then this does not wait for the
    lock. If `work` is on another file system, or the file system has no hard links, the shared cache itself
    is yielded, locked for the whole block.
    """
    shared.mkdir(parents=True, exist_ok=True)
    own = work / "packages"
    with _locked(shared, monitor):
        os.utime(shared)  # for cache prune
        if not _can_link(shared, own):
            yield shared
            return
        taken = take(shared, own)
    try:
        yield own
    except BaseException:
        lock = try_exclusive_lock(shared)
        if lock is not None:
            _merge_or_warn(own, shared, taken, monitor)
            os.close(lock)
        raise
    shared.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
    with _locked(shared, monitor):
        _merge_or_warn(own, shared, taken, monitor)


def _locked(shared: Path, monitor: Monitor) -> AbstractContextManager[None]:
    waiting = f"Waiting for the package cache of {shared.name}, which another process uses."
    return exclusive_lock(shared, lambda: note(monitor, waiting))


def _merge_or_warn(own: Path, shared: Path, taken: Taken, monitor: Monitor) -> None:
    """Merge; downloads that cannot be kept are no reason to fail."""
    try:
        merge(own, shared, taken)
    except OSError as error:
        warn(monitor, f"Cannot keep the downloaded packages in {shared}: {error.strerror}.")


def _can_link(shared: Path, own: Path) -> bool:
    """Whether files can be linked and renamed between the folders; creates both."""
    for folder in FOLDERS:
        (shared / folder).mkdir(exist_ok=True)
        (own / folder).mkdir(parents=True)
    existing, linked = shared / "archives" / "lock", own / "linked"
    existing.touch()  # apt creates this file, too
    try:
        linked.hardlink_to(existing)
    except OSError:
        return False
    linked.unlink()
    return True


def take(shared: Path, own: Path) -> Taken:
    """Link or copy the files of the shared cache to `own`. The caller holds the lock of `shared`."""
    for path in files(shared):
        target = own / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.parts[0] == "rpm" and path.suffix not in _PACKAGES:
            shutil.copy2(shared / path, target)
        else:
            target.hardlink_to(shared / path)
    return {path: _stamp(own / path) for path in files(own)}


def merge(own: Path, shared: Path, taken: Taken) -> None:
    """Move to the shared cache what is new in `own`. The caller holds the lock of `shared`.

    A process that is killed in between leaves a cache from which some files are missing; apt and dnf
    download them again.
    """
    for path in files(own):
        if path.suffix in _PACKAGES and taken.get(path) != _stamp(own / path):
            _move(own / path, shared / path)
    for folder in ("lists", "rpm"):
        if _metadata(own, folder) != {path: it for path, it in taken.items() if _is_metadata(path, folder)}:
            _replace_metadata(own, shared, folder)


def files(cache: Path) -> Iterator[Path]:
    """Yield the paths, relative to the cache, of the files that bakes share."""
    for folder in FOLDERS:
        for where, folders, names in os.walk(cache / folder):
            here = Path(where).relative_to(cache)
            if here == Path(folder):
                folders[:] = [name for name in folders if name not in _PRIVATE]
                names = [name for name in names if name not in _PRIVATE]
            yield from (here / name for name in names)


def _metadata(cache: Path, folder: str) -> dict[Path, tuple[int, int, int]]:
    return {path: _stamp(cache / path) for path in files(cache) if _is_metadata(path, folder)}


def _is_metadata(path: Path, folder: str) -> bool:
    return path.parts[0] == folder and path.suffix not in _PACKAGES


def _replace_metadata(own: Path, shared: Path, folder: str) -> None:
    """Make the metadata of the shared cache that of `own`: files of two bakes need not match."""
    new = [path for path in files(own) if _is_metadata(path, folder)]
    for path in [path for path in files(shared) if _is_metadata(path, folder)]:
        (shared / path).unlink()
    for path in new:
        _move(own / path, shared / path)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_ino, status.st_mtime_ns, status.st_size
