"""Two trees walked once, in step. What agrees in all but content is read, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bakery.imagediff.tree import Node, Tree, shown

FirstDifference = Callable[[bytes], int | None]
Pair = tuple[bytes, Node | None, Node | None]


@dataclass(frozen=True)
class Change:
    """One thing that is `a` on one side and `b` on the other; of contents, the byte `at` is told."""

    field: str
    a: str = ""
    b: str = ""
    at: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {"field": self.field} | ({"a": self.a, "b": self.b} if self.at is None else {"at": self.at})

    def __str__(self) -> str:
        if self.at is not None:
            return f"{self.field} from byte {self.at}"
        return f"{self.field} {self.a or '(none)'} → {self.b or '(none)'}"


@dataclass(frozen=True)
class Difference:
    """`reason` says why it may be; without one nothing explains it."""

    section: str
    name: str
    what: Literal["added", "removed", "changed"]
    changes: tuple[Change, ...] = ()
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        changes = [change.to_json() for change in self.changes]
        plain = {"section": self.section, "name": self.name, "what": self.what}
        return {
            **plain,
            **({"changes": changes} if changes else {}),
            **({"reason": self.reason} if self.reason else {}),
        }


def pairs(a: Tree, b: Tree) -> Iterator[Pair]:
    """Each name that is in either, with what it is in both."""
    folders = [(b"", True, True)]
    while folders:
        folder, in_a, in_b = folders.pop()
        left = a.children(folder) if in_a else {}
        right = b.children(folder) if in_b else {}
        for name in sorted(left.keys() | right.keys()):
            path = folder + b"/" + name
            mine, theirs = left.get(name), right.get(name)
            yield path, mine, theirs
            if _is_folder(mine) or _is_folder(theirs):
                folders.append((path, _is_folder(mine), _is_folder(theirs)))


def _is_folder(node: Node | None) -> bool:
    return node is not None and node.kind == "folder"


def compared(pair: Pair, first_difference: FirstDifference) -> Difference | None:
    path, mine, theirs = pair
    if mine is None:
        return Difference("files", shown(path), "added")
    if theirs is None:
        return Difference("files", shown(path), "removed")
    found = _changes(mine, theirs) if mine != theirs else ()
    found += _content(path, mine, theirs, first_difference)
    return Difference("files", shown(path), "changed", found) if found else None


def _content(
    path: bytes, mine: Node, theirs: Node, first_difference: FirstDifference
) -> tuple[Change, ...]:
    """Of files of one size; where sizes differ, so do contents."""
    if not (mine.kind == theirs.kind == "file" and mine.size == theirs.size):
        return ()
    at = first_difference(path)
    return () if at is None else (Change("content", at=at),)


def _changes(mine: Node, theirs: Node) -> tuple[Change, ...]:
    """Another type, and no more is said."""
    if mine.kind != theirs.kind:
        return (Change("type", mine.kind, theirs.kind),)
    return changes(_fields(mine), _fields(theirs))


def changes(a: dict[str, str], b: dict[str, str]) -> tuple[Change, ...]:
    names = sorted(a.keys() | b.keys())
    return tuple(
        Change(name, a.get(name, ""), b.get(name, "")) for name in names if a.get(name) != b.get(name)
    )


def _fields(node: Node) -> dict[str, str]:
    return {
        "mode": f"{node.mode:04o}",
        "owner": f"{node.uid}:{node.gid}",
        "size": str(node.size),
        "target": shown(node.target),
        "device": node.device,
        **{f"xattr {name}": value.hex() for name, value in node.xattrs},
    }
