"""The findings of `gen-userdata`, by the names that `--allow` takes."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache

from bakery.userdata import characters, request, start, token
from bakery.userdata.delivery import clouds
from bakery.userdata.lint import names as lint
from tools.reference.markdown import ROOT, Outdated, code, described, page, table, texts

# Severities by the names of the functions that make a finding.
SEVERITIES = ("error", "warning", "note")


def pages() -> dict[str, str]:
    sentences, found = texts("findings"), severities()
    known = names()
    tables = {group: _table(group, known[group], sentences[group], found) for group in known}
    return {"findings.md": page("findings", **tables)}


def names() -> dict[str, tuple[str, ...]]:
    """In groups: what `--allow` takes always, and what it takes only with `--check`."""
    always = {
        "token": token.NAMES,
        "start": start.NAMES,
        "values": characters.NAMES,
        "clouds": clouds.NAMES,
    }
    if {name for group in always.values() for name in group} != set(request.NAMES):
        raise Outdated("findings: there is a group of names that is not known here.")
    return {**always, "check": tuple(dict.fromkeys(lint.NAMES))}


def _table(
    group: str, known: tuple[str, ...], sentences: dict[str, object], found: Mapping[str, set[str]]
) -> str:
    rows = [
        (code(name), *_checked(name, row, found[name])) for name, row in described(group, known, sentences)
    ]
    return table(("name", "severity", "meaning"), rows)


def _checked(name: str, row: list[str], found: set[str]) -> tuple[str, str]:
    """Severity and meaning. Raises Outdated if the program also makes the finding with another severity."""
    severity, meaning = row
    if missing := found - set(severity.split(", ")):
        raise Outdated(f"findings: {name} also is {', '.join(sorted(missing))}.")
    return severity, meaning


@cache
def severities() -> Mapping[str, set[str]]:
    """Name -> severities, of all calls in bakery/ that name both. (Some are chosen at run time.)"""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "bakery").rglob("*.py")):
        for name, severity in _calls(ast.parse(path.read_text())):
            found[name].add(severity)
    return found


def _calls(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SEVERITIES:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield name.value, node.func.id
