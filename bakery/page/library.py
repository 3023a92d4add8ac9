"""Python's library, compiled ahead: without this, the browser compiles it at each start, for seconds.

The bytecode must be that of Pyodide's Python, so Pyodide itself compiles, run by Node.js, which npm also
requires. The result is kept beside the package.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from bakery.page import runtime
from bakery.runtime.data import PAGE
from provisioner.errors import BakeryError, CommandFailed, MissingHere
from provisioner.process import run

_SCRIPT = PAGE / "compile.mjs"
_SECONDS = 300.0


def compiled(files: Mapping[str, bytes], cache: Path) -> bytes:
    """Return the library of these files of Pyodide, compiled; from the cache if it is there.

    Raises MissingHere without Node.js, and BakeryError if Node.js cannot run Pyodide.
    """
    script = hashlib.sha256(_SCRIPT.read_bytes()).hexdigest()[:8]
    kept = cache / f"python_stdlib-{runtime.VERSION}-{script}.zip"
    if not zipfile.is_zipfile(kept):
        _compile(files, kept)
    return kept.read_bytes()


def _compile(files: Mapping[str, bytes], target: Path) -> None:
    if shutil.which("node") is None:
        raise MissingHere("Node.js (node), which compiles Python's library, is not installed.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pyodide-", dir=target.parent) as folder:
        for name, data in files.items():
            Path(folder, name).write_bytes(data)
        made = Path(folder, "compiled.zip")
        try:
            run.call(["node", str(_SCRIPT), folder, str(made)], seconds=_SECONDS)
        except CommandFailed as problem:
            last = problem.tail.strip()[-400:]
            raise BakeryError(f"Node.js could not compile Python's library: {last}") from None
        made.replace(target)
