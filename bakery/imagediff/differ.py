"""Compare two trees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bakery.imagediff import files, records
from bakery.imagediff.files import Change, Difference, FirstDifference
from bakery.imagediff.records import Records
from bakery.imagediff.tree import Tree
from bakery.imagediff.volatile import classify


@dataclass(frozen=True)
class Result:
    """The number of compared names by section, and all differences in a stable order."""

    compared: dict[str, int]
    differences: tuple[Difference, ...]

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(found for found in self.differences if not found.reason)

    @property
    def volatile(self) -> tuple[Difference, ...]:
        return tuple(found for found in self.differences if found.reason)

    def to_json(self) -> dict[str, Any]:
        return {
            "same": not self.unexplained,
            "compared": self.compared,
            "differences": [found.to_json() for found in self.unexplained],
            "volatile": [found.to_json() for found in self.volatile],
        }


def from_json(data: dict[str, Any]) -> Result:
    found = (*data["differences"], *data["volatile"])
    return Result(data["compared"], tuple(map(_difference, found)))


def _difference(data: dict[str, Any]) -> Difference:
    changes = tuple(Change(**change) for change in data.get("changes", ()))
    return Difference(**{**data, "changes": changes})


def differ(a: Tree, b: Tree, first_difference: FirstDifference) -> Result:
    """Compare two trees. Raises the errors of reading them."""
    compared: dict[str, int] = {}
    found: list[Difference] = []
    for section, read in records.SECTIONS.items():
        left, right = read(a), read(b)
        compared[section] = len(left.keys() | right.keys())
        found += _of_records(section, left, right)
    count = 0
    for pair in files.pairs(a, b):
        count += 1
        difference = files.compare_pair(pair, first_difference)
        if difference:
            found += classify(difference, pair[0], a.read, b.read)
    return Result({**compared, "files": count}, tuple(sorted(found, key=_order)))


def _order(found: Difference) -> tuple[int, str]:
    return ([*records.SECTIONS, "files"].index(found.section), found.name)


def _of_records(section: str, a: Records, b: Records) -> Iterator[Difference]:
    for name in a.keys() | b.keys():
        if name not in a:
            yield Difference(section, name, "added")
        elif name not in b:
            yield Difference(section, name, "removed")
        elif a[name] != b[name]:
            yield Difference(section, name, "changed", files.changes(a[name], b[name]))
