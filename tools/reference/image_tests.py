"""The tests that every worker image passes, read from tests/image without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bakery.runtime import data
from provisioner.roles.seal import TRACES
from tools.reference.markdown import Outdated, code, page, table, texts

_MARKERS = ("offline", "boot", "virtual", "machine", "container")


@dataclass(frozen=True)
class Test:
    name: str
    text: str
    markers: frozenset[str]

    @property
    def on(self) -> str:
        """Of which images, or which machines."""
        if "virtual" in self.markers:
            return "virtual machines"
        kinds = self.markers & {"machine", "container"}
        return {"machine": "disk images", "container": "container images"}.get("".join(kinds), "all")


def pages() -> dict[str, str]:
    found = list(tests())
    unknown = set(texts("image-tests")) - {test.name for test in found}
    if unknown:
        raise Outdated(f"image tests: there is no {', '.join(sorted(unknown))} any more.")
    tables = {level: _table(level, found) for level in ("offline", "boot")}
    return {"image-tests.md": page("image-tests", **tables, traces=_traces())}


def _table(level: str, found: list[Test]) -> str:
    rows = [(code(test.name), test.on, test.text) for test in found if level in test.markers]
    return table(("test", "applies to", "condition"), rows)


def _traces() -> str:
    return table(("path", "what it is"), [(code(trace.pattern), trace.why) for trace in TRACES])


def tests() -> Iterator[Test]:
    """In the order of the files. Raises Outdated for one without a sentence or a level."""
    for path in sorted(data.IMAGE_TESTS.glob("test_*.py")):
        yield from _of_file(path)


def _of_file(path: Path) -> Iterator[Test]:
    tree = ast.parse(path.read_text())
    shared = {mark for node in tree.body for mark in _marks_of_module(node)}
    sentences = texts("image-tests")
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            text = sentences.get(node.name) or (ast.get_docstring(node) or "").split("\n\n")[0]
            own = {mark for decorator in node.decorator_list for mark in _marks(decorator)}
            if not text or not {"offline", "boot"} & (shared | own):
                raise Outdated(f"image tests: {node.name} has no sentence, or no level.")
            yield Test(node.name, text, frozenset(shared | own))


def _marks_of_module(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
        yield from _marks(node.value)


def _marks(node: ast.AST) -> Iterator[str]:
    """The names of `pytest.mark.NAME` below a node."""
    for one in ast.walk(node):
        if (
            isinstance(one, ast.Attribute)
            and ast.unparse(one.value) == "pytest.mark"
            and one.attr in _MARKERS
        ):
            yield one.attr
