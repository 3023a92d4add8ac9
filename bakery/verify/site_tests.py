"""The tests of a site: testinfra files of its own, run at each verification level after ours.

A test without a marker runs at every level; one with the marker `offline`, `boot`, `pool` or `clone` at
that level only. All files are copied into one folder before they run, so that the digests in the proof are
those of the tests that ran; pytest reads a conftest.py if it is one of the files.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner import named_file
from provisioner.errors import BadInput

FOLDER = "site-tests"


def digests(files: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file by its name, as a proof records them. Raises BadInput."""
    found: dict[str, str] = {}
    for file in files:
        if file.name in found:
            raise BadInput(f"Two test files have the name {file.name}.", "Rename one of them.")
        found[file.name] = hashlib.sha256(_content(file)).hexdigest()
    return found


def check(files: Sequence[Path]) -> None:
    """Raises BadInput: a file cannot be read, or pytest would not find tests in any file."""
    digests(files)
    if files and not any(_is_test(file) for file in files):
        names = ", ".join(file.name for file in files)
        raise BadInput(
            f"None of the test files has a name that pytest collects: {names}.",
            "Rename a file to test_NAME.py.",
        )


def copy(files: Sequence[Path], work: Path) -> Path:
    """Copy the files into a folder in `work` and return the folder."""
    folder = work / FOLDER
    folder.mkdir()
    for file in files:
        shutil.copyfile(file, folder / file.name)
    return folder


def markers(level: str) -> str:
    """The marker expression of pytest that selects the tests of this level."""
    return f"{level} or not (offline or boot or pool or clone)"


def _is_test(file: Path) -> bool:
    """Whether pytest collects the file (python_files in its documentation)."""
    return file.suffix == ".py" and (file.name.startswith("test_") or file.stem.endswith("_test"))


def _content(file: Path) -> bytes:
    try:
        return named_file.content(file)
    except OSError as error:
        hint = "A test file is a Python file with testinfra tests."
        raise BadInput(f"Cannot read the test file {file}: {error.strerror}.", hint) from None
