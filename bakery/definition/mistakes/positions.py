"""The line of a key in a TOML text. Used for error messages only: it imports a parser with positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

Path = tuple[str | int, ...]  # keys of tables and positions in arrays


def line(text: str, path: Path) -> int:
    """The number of the line, from 1, where the value at `path` begins; else that of a table around it.

    A table begins with its header. The text must be valid TOML. Returns 0 for the whole file.
    """
    found: dict[Path, int] = {}
    for place, row in _places(text):
        # The first line of [a.b] is also that of `a`, which may have no header of its own.
        for length in range(1, len(place) + 1):
            found.setdefault(place[:length], row + 1)
    wanted = (path[:length] for length in range(len(path), 0, -1))
    return next((found[one] for one in wanted if one in found), 0)


def line_at(text: str, offset: int) -> int:
    """The number of the line of a character."""
    return text.count("\n", 0, offset) + 1


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Each table, key and element of an array, with its row."""
    import tree_sitter
    import tree_sitter_toml

    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language()))
    counts: dict[Path, int] = {}
    for node in parser.parse(text.encode()).root_node.children:
        match node.type:
            case "pair":
                yield from _pair((), node)
            case "table" | "table_array_element":
                yield from _table(node, counts)


def _table(node: Node, counts: dict[Path, int]) -> Iterator[tuple[Path, int]]:
    """A table with a header. `counts` has the number of tables so far in each array of tables."""
    *before, last = _keys(node.children[1])
    place: Path = ()
    for key in before:
        place = _latest((*place, key), counts)
    place = (*place, last)
    if node.type == "table_array_element":
        counts[place] = counts.get(place, 0) + 1
        place = _latest(place, counts)
    yield place, node.start_point.row
    for child in node.children:
        if child.type == "pair":
            yield from _pair(place, child)


def _latest(place: Path, counts: dict[Path, int]) -> Path:
    return (*place, counts[place] - 1) if place in counts else place


def _pair(parent: Path, node: Node) -> Iterator[tuple[Path, int]]:
    place = (*parent, *_keys(node.children[0]))
    yield place, node.start_point.row
    yield from _inside(place, node.children[-1])


def _inside(place: Path, value: Node) -> Iterator[tuple[Path, int]]:
    if value.type == "inline_table":
        for child in value.children:
            if child.type == "pair":
                yield from _pair(place, child)
    elif value.type == "array":
        items = (child for child in value.children if child.is_named and child.type != "comment")
        for number, child in enumerate(items):
            yield (*place, number), child.start_point.row
            yield from _inside((*place, number), child)


def _keys(node: Node) -> Sequence[str]:
    """The parts of a key; quoted ones as TOML reads them."""
    if node.type == "dotted_key":
        return [key for child in node.children if child.is_named for key in _keys(child)]
    text = (node.text or b"").decode()
    if node.type == "quoted_key":
        import tomllib

        return [next(iter(tomllib.loads(f"{text} = 0")))]
    return [text]
