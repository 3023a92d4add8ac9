"""The folder of the page: its files, and how they get to a place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bakery import __version__
from bakery.page import modules, preset, runtime
from bakery.page.preset import Preset
from bakery.runtime.data import LICENSE_FILE, PAGE
from provisioner.errors import BadInput, BakeryError

# It lists the files that this command wrote, with their digests: these it may replace.
MARK = "worker-bakery-page.json"
ARCHIVE = "worker-bakery.zip"
# Below the folder, of a run that writes it or was killed.
STAGING = ".worker-bakery-page.new"
_SHIPPED = ("index.html", "page.js", "page.css", "icon.svg")
_SHOWN = 3
# A web server runs as another user, whatever the umask of this one.
_FILE, _FOLDER = 0o644, 0o755


def files(pyodide: Mapping[str, bytes], wanted: Preset) -> Mapping[str, bytes]:
    """Return each file of the page by its path; `pyodide` has the files of Pyodide."""
    found = {name: (PAGE / name).read_bytes() for name in _SHIPPED}
    found |= {f"licenses/{path.name}": path.read_bytes() for path in sorted((PAGE / "licenses").iterdir())}
    found["licenses/worker-bakery.txt"] = LICENSE_FILE.read_bytes()
    found |= {f"{runtime.FOLDER}/{name}": data for name, data in pyodide.items()}
    found[ARCHIVE] = modules.archive()
    found["preset.json"] = json.dumps(preset.as_data(wanted)).encode()
    found["index.html"] = _versioned(found)
    found[MARK] = _mark({"sha256": {name: _digest(data) for name, data in sorted(found.items())}})
    return found


def _versioned(found: Mapping[str, bytes]) -> bytes:
    """Name the version of the other files in index.html, so that no browser mixes two of its cache."""
    digest = _digest(b"".join(found[name] for name in sorted(found)))[:12]
    text = found["index.html"].replace(b"@version@", digest.encode())
    return text.replace(b"@pyodide@", runtime.FOLDER.encode())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _mark(digests: Mapping[str, Mapping[str, object]]) -> bytes:
    return json.dumps({"version": __version__, **digests}, indent=1).encode() + b"\n"


def write(found: Mapping[str, bytes], target: Path) -> None:
    """Write the folder, or replace the files of an earlier run in it; the folder itself stays.

    Raises BadInput for a folder with other files or changed ones, and BakeryError if it cannot be written.
    """
    try:
        folder = target.resolve()  # of a symbolic link: where it points to
        old = _replaceable(folder, target)
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if new:
            folder.chmod(_FOLDER)
        _replace(folder, found, old)
    except (OSError, RuntimeError) as problem:  # RuntimeError: a loop of symbolic links
        reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
        raise BakeryError(f"Cannot write {target}: {reason}.", "Name another folder.") from None


def _replace(folder: Path, found: Mapping[str, bytes], old: Mapping[str, set[str]]) -> None:
    """Replace file by file, index.html last; a run after a killed one recognizes the files of both."""
    staging = folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)
    now = json.loads(found[MARK])["sha256"]
    before = {name: sorted(digests) for name, digests in old.items()}
    _put(staging, {MARK: _mark({"sha256": now, "before": before})})
    (staging / MARK).replace(folder / MARK)
    _put(staging, found)
    for name in sorted(found.keys() - {MARK}, key=lambda name: (name == "index.html", name)):
        _make_folders(folder, name)
        (staging / name).replace(folder / name)
    for name in sorted(old.keys() - found.keys()):
        (folder / name).unlink(missing_ok=True)
        _remove_empty(folder, name)
    (staging / MARK).replace(folder / MARK)
    shutil.rmtree(staging)


def _put(folder: Path, found: Mapping[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in found.items():
        _make_folders(folder, name)
        (folder / name).write_bytes(data)
        (folder / name).chmod(_FILE)


def _make_folders(folder: Path, name: str) -> None:
    """Create the folders of a file of the page."""
    for parent in reversed(Path(name).parents[:-1]):
        if not (folder / parent).is_dir():
            (folder / parent).mkdir()
            (folder / parent).chmod(_FOLDER)


def _remove_empty(folder: Path, name: str) -> None:
    for parent in Path(name).parents[:-1]:
        if (folder / parent).is_dir() and not any((folder / parent).iterdir()):
            (folder / parent).rmdir()


# --- what an earlier run wrote -------------------------------------------------------------------


def _replaceable(folder: Path, target: Path) -> Mapping[str, set[str]]:
    """Return the digests that each file of an earlier run may have; {} for a new folder or an empty one."""
    if not os.path.lexists(folder):
        return {}
    if not folder.is_dir():
        raise BadInput(f"{target} is not a folder.", "Name a new folder, or an empty one.")
    written = _written(folder)
    present = sorted(_present(folder))
    if not written and present:
        raise BadInput(
            f"{target} exists and is not a page of worker-bakery.", "Name a new folder, or an empty one."
        )
    if foreign := [name for name in present if not _is_ours(folder, name, written)]:
        raise BadInput(
            f"{target} has files that worker-bakery did not write, or that were changed since: "
            f"{_listed(foreign)}.",
            "Move them away, or name a new folder.",
        )
    return {name: written[name] for name in present if name in written}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _present(folder: Path) -> Iterator[str]:
    """Yield the path of each file and of each empty folder."""
    for at, folders, names in os.walk(folder, onerror=_raise):
        below = Path(at).relative_to(folder)
        if below == Path():
            folders[:] = [name for name in folders if name != STAGING]
        links = [name for name in folders if (Path(at) / name).is_symlink()]
        if not folders and not names and below != Path():
            yield f"{below.as_posix()}/"
        yield from ((below / name).as_posix() for name in (*names, *links))


def _raise(problem: OSError) -> None:
    raise problem


def _is_ours(folder: Path, name: str, written: Mapping[str, set[str]]) -> bool:
    if name == MARK:
        return True
    if name.endswith("/"):  # of a killed run, before it had its first file
        return any(one.startswith(name) for one in written)
    path = folder / name
    if name not in written or path.is_symlink() or not path.is_file():
        return False
    return _digest(path.read_bytes()) in written[name]


def _written(folder: Path) -> Mapping[str, set[str]]:
    """Return the digests of the mark; {} if there is none, or if it is no mark of this command."""
    from bakery.runtime.files import read_limited

    if not (folder / MARK).is_file():
        return {}
    try:
        mark: Any = json.loads(read_limited(folder / MARK, 1024 * 1024))
        found = {name: {digest} for name, digest in mark["sha256"].items()}
        for name, digests in mark.get("before", {}).items():
            found.setdefault(name, set()).update(digests)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return found
