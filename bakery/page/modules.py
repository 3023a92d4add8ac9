"""The Python files that the page needs: its entry module, all that it imports of ours, and their data."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from bakery.runtime.data import CLOUD_INIT, WORKER
from provisioner.errors import BakeryError

ENTRY = "bakery.page.answers"
_TOP = Path(__file__).parent.parent.parent
# The folder of each package of ours; bakery/userdata/guest.py imports that of the worker.
_OURS = {
    "bakery": _TOP,
    "provisioner": _TOP,
    "worker_runtime": WORKER / "common" / "usr" / "lib" / "worker-bakery",
}
_YAML = "yaml"


def archive() -> bytes:
    """Return a zip of the files, with the layout of a checkout; equal files give equal bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archived:
        for name, data in sorted(files().items()):
            entry = zipfile.ZipInfo(name)  # of 1980
            entry.compress_type = zipfile.ZIP_DEFLATED
            archived.writestr(entry, data)
    return made.getvalue()


def files() -> Mapping[str, bytes]:
    """Return the content of each file by its path in the archive."""
    found = closure(ENTRY)
    guest = [path for path in found if path.is_relative_to(WORKER)]
    ours = [path for path in found if path not in guest]
    return {**_below(_TOP, ours), **_below(WORKER, guest, "worker/"), **_data(), **_of_yaml()}


def _below(top: Path, paths: Iterable[Path], prefix: str = "") -> dict[str, bytes]:
    """Return the content of each file by its path below a folder."""
    return {f"{prefix}{path.relative_to(top).as_posix()}": path.read_bytes() for path in paths}


def closure(entry: str) -> list[Path]:
    """Return the files of a module and of all modules of ours that it imports, anywhere in its text."""
    found: dict[str, Path] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        waiting += [*_parents(name), *_imports(path)]
    return sorted(found.values())


def _file(name: str) -> Path | None:
    """Return the file of a module of ours; None for another name."""
    words = name.split(".")
    if words[0] not in _OURS:
        return None
    path = _OURS[words[0]].joinpath(*words)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file if file.is_file() else None


def _parents(name: str) -> list[str]:
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words))]


def _imports(path: Path) -> Iterator[str]:
    """Yield each imported module, and each name that may be one."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _of_yaml() -> dict[str, bytes]:
    """PyYAML in pure Python, as it is installed here: without its C library, it is only slower."""
    spec = find_spec(_YAML)
    if spec is None or not spec.origin:
        raise BakeryError("PyYAML is not installed.", "Install worker-bakery again.")
    folder = Path(spec.origin).parent
    return _below(folder.parent, sorted(folder.glob("*.py")))


def _data() -> dict[str, bytes]:
    """The tables of the keys of a worker's file and of the pools, and the templates of user-data."""
    tables = (
        *WORKER.glob("*/usr/lib/worker-bakery/*.json"),
        *WORKER.glob("ospool/etc/condor/config.d/50-worker-ospool.config"),
    )
    return _below(WORKER, tables, "worker/") | _below(
        CLOUD_INIT, CLOUD_INIT.glob("common/*.in"), "cloud-init/"
    )
