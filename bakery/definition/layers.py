"""The images of a file: its keys and those of an [[image]] table, for each combination of the matrix."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from bakery.definition.mistakes.positions import Path
from bakery.definition.mistakes.problems import Wrong, name

_WHOLE = ("base", "matrix")  # keys of an image that replace those of the file
_AXES = ("base", "worker", "arch", "format")


@dataclass(frozen=True)
class Layered:
    """The keys of one image. `suffix` distinguishes it from the others of its matrix."""

    keys: dict[str, Any]
    suffix: str = ""
    origins: Mapping[Path, Path] = field(default_factory=dict)  # place in `keys` -> place in the file
    table: Path = ()  # the [[image]] table

    def origin(self, place: Path) -> Path:
        """The place in the file of a value in `keys`."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.origins:
                return (*self.origins[place[:length]], *place[length:])
        return place


def images(document: Mapping[str, Any]) -> Iterator[Layered]:
    """Yield the images. The structure of the document is that of model.Definition. Raises Wrong."""
    shared = {key: value for key, value in document.items() if key != "image"}
    tables = document.get("image")
    if tables is None:
        yield from _combinations(Layered(shared))
        return
    if not tables:
        raise Wrong(("image",), "image is empty.", "Write [[image]] tables, or remove it.")
    if "name" in shared:
        raise Wrong(("name",), "name applies to one image.", "Set it in each [[image]] table.")
    for number, table in enumerate(tables):
        place: Path = ("image", number)
        if "name" not in table:
            raise Wrong(place, f"{name(place)} has no name.", 'Write name = "NAME".')
        origins: dict[Path, Path] = {}
        merged = _merged(shared, table, (), place, origins)
        yield from _combinations(Layered(merged, "", origins, place))


def _merged(
    shared: Mapping[str, Any], own: Mapping[str, Any], here: Path, source: Path, origins: dict[Path, Path]
) -> dict[str, Any]:
    """Tables are merged, lists joined; other values of the image replace those of the file."""
    result = dict(shared)
    for key, value in own.items():
        before, place, origin = result.get(key), (*here, key), (*source, key)
        if key not in _WHOLE and isinstance(before, dict) and isinstance(value, dict):
            result[key] = _merged(before, value, place, origin, origins)
        elif key not in _WHOLE and isinstance(before, list) and isinstance(value, list):
            moved = {(*place, len(before) + n): (*origin, n) for n in range(len(value))}
            origins.update(moved)
            result[key] = [*before, *value]
        else:
            origins[place] = origin
            result[key] = value
    return result


def _combinations(one: Layered) -> Iterator[Layered]:
    matrix = one.keys.get("matrix", {})
    keys = {key: value for key, value in one.keys.items() if key != "matrix"}
    axes = [axis for axis in _AXES if axis in matrix]
    for axis in axes:
        _check_axis(axis, keys, matrix[axis])
    for chosen in itertools.product(*(list(enumerate(matrix[axis])) for axis in axes)):
        values = {axis: value for axis, (_, value) in zip(axes, chosen, strict=True)}
        places: dict[Path, Path] = {
            (axis,): one.origin(("matrix", axis, number))
            for axis, (number, _) in zip(axes, chosen, strict=True)
        }
        several = [values[axis] for axis in axes if len(matrix[axis]) > 1]
        suffix = "".join(f"-{_word(value)}" for value in several)
        yield Layered(keys | values, suffix, {**one.origins, **places}, one.table)


def _check_axis(axis: str, keys: Mapping[str, Any], values: list[str]) -> None:
    place: Path = ("matrix", axis)
    if axis in keys:
        raise Wrong(place, f"{axis} and {name(place)} cannot be used together.", f"Remove {axis}.")
    if not values:
        raise Wrong(place, f"{name(place)} is empty.", f"Give values, or remove {name(place)}.")
    words = [_word(value) for value in values]
    for number, word in enumerate(words):
        if word in words[:number]:
            raise Wrong((*place, number), f"{name(place)} contains {word} twice.", "Remove one of them.")


def _word(value: str) -> str:
    """A value as part of a name: of the path of a base its name."""
    return re.sub(r"[^a-z0-9._-]+", "-", PurePath(value).name.removesuffix(".toml").lower())
