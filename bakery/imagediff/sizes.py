"""How large an image's files are, by package and by directory, and what grew between two images. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bakery.imagediff import rpmdb
from bakery.imagediff.tree import Tree, printable

NO_PACKAGE = "(no package)"
_LISTS = b"/var/lib/dpkg/info"  # NAME.list or NAME:ARCH.list: the paths of a package, one per line
_DEPTH = 3  # names of a directory: /usr/lib/modules


@dataclass(frozen=True)
class Sizes:
    """Bytes of the regular files: all, by package, and by directory up to three names deep."""

    total: int
    packages: Mapping[str, int]
    directories: Mapping[str, int]


@dataclass(frozen=True)
class Row:
    """A package or a directory with its bytes in both images; None: it does not exist there."""

    name: str
    a: int | None
    b: int | None

    @property
    def growth(self) -> int:
        return (self.b or 0) - (self.a or 0)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "a": self.a, "b": self.b, "growth": self.growth}


@dataclass(frozen=True)
class Growth:
    """Two images compared: what grew most comes first, what shrank most last; what is equal is left out."""

    total: Row
    packages: tuple[Row, ...]
    directories: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "total": self.total.to_json(),
            "packages": [row.to_json() for row in self.packages],
            "directories": [row.to_json() for row in self.directories],
        }


def from_json(data: Mapping[str, Any]) -> Growth:
    def rows(found: Iterable[Mapping[str, Any]]) -> tuple[Row, ...]:
        return tuple(Row(one["name"], one["a"], one["b"]) for one in found)

    [total] = rows([data["total"]])
    return Growth(total, rows(data["packages"]), rows(data["directories"]))


def growth(a: Sizes, b: Sizes) -> Growth:
    return Growth(
        Row("all files", a.total, b.total),
        _rows(a.packages, b.packages),
        _rows(a.directories, b.directories),
    )


def _rows(a: Mapping[str, int], b: Mapping[str, int]) -> tuple[Row, ...]:
    found = (Row(name, a.get(name), b.get(name)) for name in a.keys() | b.keys())
    return tuple(sorted((row for row in found if row.growth), key=lambda row: (-row.growth, row.name)))


def measure(tree: Tree) -> Sizes:
    """Measure a root file system. Raises the errors of reading it, and those of rpm."""
    owners = dict(_owners(tree))
    packages: Counter[str] = Counter()
    directories: Counter[str] = Counter()
    total = 0
    for folder, name, size in _files(tree):
        total += size
        packages[owners.get(folder + b"/" + name, NO_PACKAGE)] += size
        parts = folder.split(b"/")[1 : _DEPTH + 1]
        for depth in range(1, len(parts) + 1):
            directories["/" + printable(b"/".join(parts[:depth]))] += size
    if not owners and (found := rpmdb.sizes(tree)):
        packages = Counter({**found, NO_PACKAGE: max(0, total - sum(found.values()))})
    return Sizes(total, packages, directories)


def _files(tree: Tree) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield the folder, the name and the size of each regular file. Names of one file count once each."""
    folders = [b""]
    while folders:
        folder = folders.pop()
        for name, node in tree.children(folder).items():
            if node.kind == "folder":
                folders.append(folder + b"/" + name)
            elif node.kind == "file":
                yield folder, name, node.size


def _owners(tree: Tree) -> Iterator[tuple[bytes, str]]:
    """Yield the files of dpkg's packages. Its lists may name them through links such as /bin → usr/bin."""
    links = {name: node.target.lstrip(b"/") for name, node in tree.children(b"").items() if node.target}
    for name, node in tree.children(_LISTS).items():
        if node.kind == "file" and name.endswith(b".list"):
            package = printable(name.removesuffix(b".list").partition(b":")[0])
            for path in (tree.read(_LISTS + b"/" + name) or b"").split(b"\n"):
                top, slash, rest = path.lstrip(b"/").partition(b"/")
                yield b"/" + links.get(top, top) + slash + rest, package
