"""Pyodide, Python for browsers: its npm package, pinned by its digest, from a file or by `npm pack`."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from provisioner.errors import BadInput, BakeryError, CommandFailed, MissingHere, Unreachable, WrongChecksum
from provisioner.process import run

VERSION = "314.0.7"
# The integrity that npm records for this version.
SHA512 = (
    "d18bd7c4485f11da4b7dbfd790cd8114078c44eab488c517d9bcf31fda4eb6dc"
    "8c716930abe1db139bb2b860fcd8b37bcb6abe48dbe2ffa579244b0e943d91d4"
)
NAME = f"pyodide-{VERSION}.tgz"
FOLDER = f"pyodide-{VERSION}"
LIBRARY = "python_stdlib.zip"
FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", LIBRARY, "pyodide-lock.json")
_SECONDS = 600.0
_LARGEST = 64 * 1024 * 1024  # of the package, in bytes


def files(package: bytes) -> Mapping[str, bytes]:
    """Return the files that the page needs, by their names. Raises WrongChecksum for another package."""
    if hashlib.sha512(package).hexdigest() != SHA512:
        raise WrongChecksum(
            f"The package is not Pyodide {VERSION}: its SHA-512 differs from the pinned one.",
            f"Use the file that `npm pack pyodide@{VERSION}` writes.",
        )
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        return {name: _member(archive, f"package/{name}") for name in FILES}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    if found is None:
        raise BakeryError(f"The package of Pyodide has no file {name}.")
    return found.read()


def package(given: Path | None, cache: Path) -> bytes:
    """Return the bytes of the package: of the given file, else of the cache, else from npm's registry.

    Raises BadInput, MissingHere (no npm), Unreachable, WrongChecksum.
    """
    if given is not None:
        return _read(given)
    kept = cache / NAME
    if not kept.is_file():
        _download(kept)
    return _read(kept)


def _read(path: Path) -> bytes:
    from bakery.runtime.files import read_limited

    if path.is_dir():
        raise BadInput(f"{path} is a folder.", f"Name the package: a file such as {NAME}.")
    data = read_limited(path, _LARGEST)
    try:
        files(data)
    except WrongChecksum as problem:
        raise WrongChecksum(
            f"{path}: {problem.message}", f"{problem.hint} Remove {path} if it is damaged."
        ) from None
    return data


def _download(target: Path) -> None:
    """Have npm download the package, which knows the registry and the proxies of this machine."""
    if shutil.which("npm") is None:
        raise MissingHere(
            "The page requires Pyodide, and npm, which downloads it, is not installed.",
            f"Install npm, or name the package of Pyodide {VERSION}: --pyodide {NAME}.",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pyodide-", dir=target.parent) as folder:
        _pack(Path(folder))
        downloaded = Path(folder) / NAME
        files(downloaded.read_bytes())
        downloaded.replace(target)


def _reason(tail: str) -> str:
    """The name of npm's error, such as ENOTFOUND or E404; else its last line."""
    found = re.search(r"\bE[A-Z0-9_]{3,}\b", tail)
    return found[0] if found else tail.strip().rpartition("\n")[2][:200]


def _pack(folder: Path) -> None:
    command = ["npm", "pack", "--ignore-scripts", "--pack-destination", str(folder), f"pyodide@{VERSION}"]
    try:
        run.call(command, seconds=_SECONDS)
    except CommandFailed as problem:
        raise Unreachable(
            f"npm could not download Pyodide {VERSION} ({_reason(problem.tail)}).",
            f"Check npm's registry and proxy, or name the package: --pyodide {NAME}.",
        ) from None
    if not (folder / NAME).is_file():
        raise BakeryError(f"npm pack wrote no file {NAME}.", f"Name the package: --pyodide {NAME}.")
