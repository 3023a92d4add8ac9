"""The keys of the worker's files, from worker/KIND/…/keys.json."""

from __future__ import annotations

import json
from typing import Any

from bakery.runtime import data
from bakery.userdata import rendering
from tools.reference.markdown import Outdated, code, described, page, table, texts

_HEADER = ("key", "value", "default", "meaning")


def pages() -> dict[str, str]:
    tables = {kind: table(_HEADER, rows(kind)) for kind in rendering.KINDS}
    variables = table(("key", "variable"), variable_rows("osg"))
    return {"worker-file.md": page("worker-file", **tables, variables=variables)}


def variable_rows(kind: str) -> list[tuple[str, str]]:
    """One row for each key: its name and its variable in a container."""
    return [(code(key["key"]), code(key["variable"])) for key in keys(kind)]


def keys(kind: str) -> list[dict[str, Any]]:
    file = data.WORKER / kind / "usr/lib/worker-bakery/keys.json"
    found: list[dict[str, Any]] = json.loads(file.read_text())["keys"]
    return found


def rows(kind: str) -> list[tuple[str, str, str, str]]:
    """One row for each key: name, form of its value, default, meaning. Raises Outdated."""
    table = keys(kind)
    names = [key["key"] for key in table]
    meanings = dict(described(f"keys of {kind}", names, _sentences(kind)))
    return [
        (code(key["key"]), _form(key["kind"]), _default(key, table), meanings[key["key"]]) for key in table
    ]


def _sentences(kind: str) -> dict[str, str]:
    """A kind's own, completed by those of OSG's keys with the same setting."""
    all_of_them = texts("keys")
    if kind == "osg":
        return dict(all_of_them["osg"])
    shared = {key["key"]: all_of_them["osg"].get(key.get("setting", key["key"])) for key in keys(kind)}
    return {name: text for name, text in shared.items() if text} | dict(all_of_them[kind])


_FORMS = {
    "string": "text",
    "token": "IDTOKEN",
    "secret": "text without blanks",
    "path": "path",
    "command": "command",
    "expression": "ClassAd expression",
    "hosts": "hosts",
    "domain": "name",
    "site": "name",
    "country": "code",
    "seconds": "seconds",
    "label": "name",
}


def _form(kind: str) -> str:
    """Alternatives are their own form."""
    if kind in _FORMS:
        return _FORMS[kind]
    if "|" not in kind:
        raise Outdated(f"A kind of values, {kind}, has no name in {__name__}.")
    return ", ".join(map(code, kind.split("|")))


def _default(key: dict[str, Any], table: list[dict[str, Any]]) -> str:
    """`required` where neither the key nor another one in its place has a default."""
    replaced = {row["instead_of"] for row in table if row.get("instead_of") and row["default"]}
    if key["required"] and key["key"] not in replaced:
        return "required"
    return code(key["default"])
