"""A mistake in a definition file, and the message about it: file, line, key, what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bakery.definition.mistakes import positions
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub


class Wrong(Exception):
    """A mistake at `place` in the file; `message` is a sentence without the place."""

    def __init__(self, place: positions.Path, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.place, self.message, self.hint = place, message, hint


@dataclass(frozen=True)
class Source:
    """A definition file and its text."""

    path: Path
    text: str

    def error(self, wrong: Wrong) -> BadInput:
        """The mistake as an error of the command."""
        number = positions.line(self.text, wrong.place) if wrong.place else 0
        return at(self.path, number, wrong.message, wrong.hint)


def at(path: Path, line: int, message: str, hint: str = "") -> BadInput:
    """The error for a line; 0 is the whole file. The message contains no token."""
    where = f"{path}:{line}" if line else str(path)
    return BadInput(scrub(f"{where}: {message}"), scrub(hint))


def name(place: positions.Path) -> str:
    """A place as people write it: files[1].mode."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def unknown(place: positions.Path, what: str, known: Iterable[str]) -> Wrong:
    """The mistake that `what` (for example: there is no role x) has a name which is not `known`."""
    names = sorted(known)
    if not names:  # a role without options
        return Wrong(place, what, f"{name(place[:-1])} has no keys.")
    hint = did_you_mean.did_you_mean(str(place[-1]), names) or f"Use {listed(names)}."
    return Wrong(place, what, hint)


def listed(names: Iterable[str]) -> str:
    """A, B or C."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
