"""What the package manager of an image reported (provisioner/installed.py), parsed."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from bakery.freshness.lock import Package, System


@dataclass(frozen=True)
class Inventory:
    """`files` are the texts of repository definitions by path, `keys` keyrings by path.

    `release` are the variables of os-release(5); `digests` those of the InRelease files that apt has read.
    """

    system: System
    architecture: str
    packages: tuple[Package, ...]
    files: Mapping[str, str]
    keys: Mapping[str, bytes]
    release: Mapping[str, str]
    digests: frozenset[str]


def parse(rows: Iterable[str]) -> Inventory | None:
    """Parse the rows; None without a package system."""
    single: dict[str, str] = {}
    packages: list[Package] = []
    digests: set[str] = set()
    release: dict[str, str] = {}
    texts: dict[str, dict[str, str]] = {"F": {}, "K": {}}
    for row in rows:
        kind, _, rest = row.partition("\t")
        fields = rest.split("\t")
        match kind:
            case "S" | "A":
                single[kind] = rest
            case "P" if len(fields) == 3 and fields[0] != "gpg-pubkey":  # a key in rpm's database
                packages.append(Package(*fields))
            case "D":
                digests.add(rest)
            case "O":
                name, _, value = rest.partition("=")
                release[name] = value.strip("\"'")
            case "F" | "K":
                path, _, text = rest.partition("\t")
                texts[kind][path] = f"{texts[kind].get(path, '')}{text}\n"
    if not packages or "S" not in single:
        return None
    keys = {path: base64.b64decode(text) for path, text in texts["K"].items()}
    return Inventory(
        cast(System, single["S"]),
        single.get("A", ""),
        tuple(sorted(set(packages))),
        texts["F"],
        keys,
        release,
        frozenset(digests),
    )
