"""Bases: the stock images a worker is made from, one TOML file each in packer/bases/.

A base is either built here from packages (`[build]`) or a vendor's image (`[image]`: url, sha256).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bakery import data, mkosi
from bakery.mirror import Mirror
from bakery.mkosi import Build
from provisioner.errors import BadInput
from provisioner.roles import FAMILIES, Family

DEFAULT = "debian13"


@dataclass(frozen=True)
class VendorImage:
    url: str
    sha256: str


@dataclass(frozen=True)
class Base:
    name: str
    title: str
    family: Family
    architecture: str
    end_of_life: str  # ISO date
    login: str
    firmware: tuple[str, ...]
    tested: bool
    source: Build | VendorImage

    @property
    def id(self) -> str:
        """sha256 of what the base is made of: a vendor image's digest, or the recipe to build it."""
        if isinstance(self.source, VendorImage):
            return self.source.sha256
        # All that mkosi is told but where the packages come from.
        recipe = json.dumps(mkosi.files(self.source, Mirror("", ""), Path()), sort_keys=True)
        return hashlib.sha256(f"{self.architecture}\n{recipe}".encode()).hexdigest()


def known() -> tuple[Base, ...]:
    return tuple(read(path) for path in sorted(data.BASES.glob("*.toml")))


def find(name: str) -> Base:
    """A base by name, or by the path of a TOML file of one's own. Raises BadInput."""
    path = Path(name) if name.endswith(".toml") else data.BASES / f"{name}.toml"
    if not path.is_file() or path.suffix != ".toml":
        names = ", ".join(base.name for base in known())
        raise BadInput(
            f"There is no base {name!r}.",
            f"Known: {names}; or give the path of a TOML file like {data.BASES / 'debian13.toml'}.",
        )
    return read(path)


def read(path: Path) -> Base:
    try:
        return _base(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not TOML: {error}.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} does not describe a base: {error}.") from None


def _base(table: dict[str, Any]) -> Base:
    if table["family"] not in FAMILIES:
        raise ValueError(f"family {table['family']!r} is none of {', '.join(FAMILIES)}")
    return Base(
        name=table["name"],
        title=table["title"],
        family=cast(Family, table["family"]),
        architecture=table["architecture"],
        end_of_life=str(table["end_of_life"]),
        login=table["login"],
        firmware=_texts(table["firmware"]),
        tested=bool(table["tested"]),
        source=_build(table["build"]) if "build" in table else _image(table["image"]),
    )


def _build(table: dict[str, Any]) -> Build:
    return Build(
        distribution=table["distribution"],
        release=table["release"],
        root_size=table["root_size"],
        kernel_command_line=_texts(table["kernel_command_line"]),
        packages=_texts(table["packages"]),
    )


def _image(table: dict[str, Any]) -> VendorImage:
    sha256 = str(table["sha256"]).lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError("sha256 must be 64 hexadecimal digits")
    return VendorImage(str(table["url"]), sha256)


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
