"""A document of YAML that is safe to read: an alias (`*name`) may make it endless, or too large."""

from __future__ import annotations

from typing import Any

from bakery.userdata.findings import Finding, error

_MOST = 4 * 1024 * 1024


class Endless(ValueError):
    """A node is within itself."""


def problem(tree: Any, where: str) -> Finding | None:
    """Why nobody can use the document, as `yaml.compose` gives it; None if its aliases are harmless."""
    try:
        length = size(tree)
    except Endless:
        what = "cloud-init cannot use a document that contains itself; an alias (*name) does that."
        return error("yaml-alias", what, "Write out what the alias is to say.", where)
    if length > _MOST:
        what = f"Its aliases (*name) make it larger than {_MOST >> 20} MiB once they are written out."
        return error("yaml-alias", what, "Use fewer aliases.", where)
    return None


def size(tree: Any) -> int:
    """Characters and nodes of what a node becomes once each alias is replaced by what it names.

    Each node is visited once, by its id. Raises Endless.
    """
    known: dict[int, int | None] = {}  # None: we are within it

    def of(node: Any) -> int:
        if id(node) not in known:
            known[id(node)] = None
            is_text = isinstance(node.value, str)
            known[id(node)] = 1 + (len(node.value) if is_text else sum(map(of, _children(node.value))))
        found = known[id(node)]
        if found is None:
            raise Endless
        return found

    return of(tree) if tree is not None else 0


def _children(value: list[Any]) -> list[Any]:
    return [node for one in value for node in (one if isinstance(one, tuple) else (one,))]
