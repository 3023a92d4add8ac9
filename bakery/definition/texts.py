"""Checks of all texts of a file, whatever their key: no tokens, no unexpected control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bakery.definition.mistakes.positions import Path
from bakery.definition.mistakes.problems import Wrong, name
from provisioner.process.scrub import has_secret, scrub

TOKEN_HINT = "Pass the token to the worker in its user-data instead."
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(document: object) -> None:
    """Raise Wrong for the first text that no image may contain."""
    for place, text in _texts(document, ()):
        if has_secret(text):
            raise token(place)
        if "\0" in text or (not _may_have_lines(place) and _CONTROL.search(text)):
            what = "line breaks" if "\n" in text else "control characters"
            raise Wrong(place, f"{name(place)} must not contain {what}.")


def token(place: Path, what: str = "") -> Wrong:
    """The mistake that a text contains a token; `what` is the text, by default the value at `place`."""
    shown = what or scrub(name(place))
    return Wrong(place, f"{shown} contains a token, and images must not contain secrets.", TOKEN_HINT)


def _texts(value: object, place: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield (*place, key), key
            yield from _texts(one, (*place, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _texts(one, (*place, number))


def _may_have_lines(place: Path) -> bool:
    return place[-1] == "text" or bool({"argv", "variables"} & set(place[-2:-1]))
