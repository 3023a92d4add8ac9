"""Walk two trees together. Contents are read only if all metadata agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bakery.imagediff.tree import Node, Tree, printable

FirstDifference = Callable[[bytes], int | None]
Pair = tuple[bytes, Node | None, Node | None]


@dataclass(frozen=True)
class Change:
    """A field with the value `a` in one tree and `b` in the other.

    For contents, `at` is the offset of the first differing byte.
    """

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
    """A difference. `reason` explains an expected one; it is empty for others."""

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
    """Yield each path that exists in either tree, with its nodes in both."""
    folders = [(b"", True, True)]
    while folders:
        folder, in_a, in_b = folders.pop()
        left = a.children(folder) if in_a else {}
        right = b.children(folder) if in_b else {}
        for name in sorted(left.keys() | right.keys()):
            path = folder + b"/" + name
            left_node, right_node = left.get(name), right.get(name)
            yield path, left_node, right_node
            if _is_folder(left_node) or _is_folder(right_node):
                folders.append((path, _is_folder(left_node), _is_folder(right_node)))


def _is_folder(node: Node | None) -> bool:
    return node is not None and node.kind == "folder"


def compare_pair(pair: Pair, first_difference: FirstDifference) -> Difference | None:
    """Compare the two nodes of a path; None if they are equal."""
    path, left_node, right_node = pair
    if left_node is None:
        return Difference("files", printable(path), "added")
    if right_node is None:
        return Difference("files", printable(path), "removed")
    found = _changes(left_node, right_node) if left_node != right_node else ()
    found += _content(path, left_node, right_node, first_difference)
    return Difference("files", printable(path), "changed", found) if found else None


def _content(
    path: bytes, left_node: Node, right_node: Node, first_difference: FirstDifference
) -> tuple[Change, ...]:
    """Compare files of equal size; contents of different size always differ."""
    if not (left_node.kind == right_node.kind == "file" and left_node.size == right_node.size):
        return ()
    at = first_difference(path)
    return () if at is None else (Change("content", at=at),)


def _changes(left_node: Node, right_node: Node) -> tuple[Change, ...]:
    """Compare the fields; if the types differ, report only the types."""
    if left_node.kind != right_node.kind:
        return (Change("type", left_node.kind, right_node.kind),)
    return changes(_fields(left_node), _fields(right_node))


def changes(a: dict[str, str], b: dict[str, str]) -> tuple[Change, ...]:
    """Return the fields that differ, sorted by name."""
    names = sorted(a.keys() | b.keys())
    return tuple(
        Change(name, a.get(name, ""), b.get(name, "")) for name in names if a.get(name) != b.get(name)
    )


def _fields(node: Node) -> dict[str, str]:
    return {
        "mode": f"{node.mode:04o}",
        "owner": f"{node.uid}:{node.gid}",
        "size": str(node.size),
        "target": printable(node.target),
        "device": node.device,
        **{f"xattr {name}": value.hex() for name, value in node.xattrs},
    }
