"""Find YAML documents whose aliases (`*name`) make them infinite or too large to read."""

from __future__ import annotations

from typing import Any

from bakery.userdata.findings import Finding, error

_MOST = 4 * 1024 * 1024


class Cycle(ValueError):
    """A node contains itself."""


def problem(tree: Any, where: str) -> Finding | None:
    """Check the aliases of a document that `yaml.compose` has read; None if they are harmless."""
    try:
        length = size(tree)
    except Cycle:
        what = "An alias (*name) makes this a document that contains itself, which cloud-init cannot use."
        return error("yaml-alias", what, "Replace the alias by its value.", where)
    if length > _MOST:
        what = f"With its aliases (*name) expanded, the document is larger than {_MOST >> 20} MiB."
        return error("yaml-alias", what, "Use fewer aliases.", where)
    return None


def size(tree: Any) -> int:
    """The number of characters and nodes of a node once each alias is replaced by its value.

    Each node is visited once. Raises Cycle.
    """
    sizes: dict[int, int | None] = {}  # by id of the node; None: being visited

    def of(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = None
            is_text = isinstance(node.value, str)
            sizes[id(node)] = 1 + (len(node.value) if is_text else sum(map(of, _children(node.value))))
        found = sizes[id(node)]
        if found is None:
            raise Cycle
        return found

    return of(tree) if tree is not None else 0


def _children(value: list[Any]) -> list[Any]:
    return [node for one in value for node in (one if isinstance(one, tuple) else (one,))]
