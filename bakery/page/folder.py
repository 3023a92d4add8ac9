"""The folder of the page: its files, and how they get to a place."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bakery import __version__
from bakery.page import modules, preset, runtime
from bakery.page.preset import Preset
from bakery.runtime.data import LICENSE_FILE, PAGE
from provisioner.errors import BadInput, BakeryError

# It marks a folder that this command wrote and may replace.
MARK = "worker-bakery-page.json"
ARCHIVE = "worker-bakery.zip"
_SHIPPED = ("index.html", "page.js", "page.css", "icon.svg")


def files(pyodide: Mapping[str, bytes], wanted: Preset) -> Mapping[str, bytes]:
    """Return each file of the page by its path; `pyodide` has the files of Pyodide."""
    found = {name: (PAGE / name).read_bytes() for name in _SHIPPED}
    found |= {f"licenses/{path.name}": path.read_bytes() for path in sorted((PAGE / "licenses").iterdir())}
    found["licenses/worker-bakery.txt"] = LICENSE_FILE.read_bytes()
    found |= {f"{runtime.FOLDER}/{name}": data for name, data in pyodide.items()}
    found[ARCHIVE] = modules.archive()
    found["preset.json"] = json.dumps(preset.as_data(wanted)).encode()
    found["index.html"] = _versioned(found)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(found.items())}
    found[MARK] = json.dumps({"version": __version__, "sha256": digests}, indent=1).encode() + b"\n"
    return found


def _versioned(found: Mapping[str, bytes]) -> bytes:
    """Name the version of the other files in index.html, so that no browser mixes two of its cache."""
    digest = hashlib.sha256(b"".join(found[name] for name in sorted(found))).hexdigest()[:12]
    text = found["index.html"].replace(b"@version@", digest.encode())
    return text.replace(b"@pyodide@", runtime.FOLDER.encode())


def write(found: Mapping[str, bytes], target: Path) -> None:
    """Write the folder, or replace one of this command. Raises BadInput for a folder with other files."""
    if target.exists() and not _may_replace(target):
        raise BadInput(
            f"{target} exists and is not a page of worker-bakery.", "Name a new folder, or an empty one."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".worker-bakery-page-", dir=target.parent) as name:
            made = Path(name) / "page"
            _fill(made, found)
            if target.exists():
                target.rename(Path(name) / "old")
            made.rename(target)
    except OSError as problem:
        raise BakeryError(f"Cannot write {target}: {problem.strerror}.") from None


def _fill(folder: Path, found: Mapping[str, bytes]) -> None:
    for name, data in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _may_replace(target: Path) -> bool:
    return target.is_dir() and ((target / MARK).is_file() or not any(target.iterdir()))
