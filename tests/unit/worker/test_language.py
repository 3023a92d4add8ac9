"""The runtime runs wherever EL7 does: Python 3.6 and its standard library."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.runtime import data

RUNTIME = data.WORKER / "common/usr/lib/worker-bakery"
SOURCES = [RUNTIME / "worker", *sorted(RUNTIME.rglob("*.py"))]
# Came after 3.6, or left since: not to be relied on.
TOO_NEW = {"dataclasses", "contextvars", "graphlib", "tomllib", "zoneinfo", "importlib.resources"}
NEW_ARGUMENTS = {"capture_output", "text", "missing_ok", "dirs_exist_ok", "strict"}
NEW_NAMES = {"removeprefix", "removesuffix", "readlink", "is_relative_to", "isascii", "shlex.join"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_python_3_6(source: Path) -> None:
    tree = ast.parse(source.read_text("utf-8"), feature_version=(3, 6))
    imported = {name.split(".")[0] for name in _imports(tree)}
    assert imported <= set(sys.stdlib_module_names) | {"worker_runtime"}
    assert not imported & TOO_NEW
    assert not NEW_NAMES & {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert not NEW_ARGUMENTS & {n.arg for n in ast.walk(tree) if isinstance(n, ast.keyword)}


def test_it_is_executable() -> None:
    assert (RUNTIME / "worker").stat().st_mode & 0o111


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and node.module != "__future__"
            yield node.module
