"""All generated pages."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tools.reference import (
    commands,
    definition_file,
    findings,
    image_tests,
    ospool,
    states,
    tables,
    worker_file,
)
from tools.reference.markdown import ROOT

REFERENCE = ROOT / "docs" / "reference"
_SOURCES = (worker_file, definition_file, states, tables, findings, image_tests, ospool)


def pages() -> dict[Path, str]:
    """Path -> text. Raises Outdated."""
    return {REFERENCE / name: text for name, text in _texts().items()}


@cache
def _texts() -> dict[str, str]:
    """By their paths below REFERENCE."""
    found = {name: text for source in _SOURCES for name, text in source.pages().items()}
    return found | {f"commands/{name}": text for name, text in commands.pages().items()}


def outdated() -> list[Path]:
    """Pages that differ from what the program says, or belong to a command that is gone."""
    wanted = pages()
    stale = [path for path in (REFERENCE / "commands").glob("*.md") if path not in wanted]
    return [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text] + stale


def write() -> list[Path]:
    """Write what is outdated, and return its paths."""
    wanted, changed = pages(), outdated()
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return changed
