"""The dependency rule of the guest runtime, read from its imports, those inside of functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.unit.worker.conftest import RUNTIME

PACKAGE = RUNTIME / "worker_runtime"
MOST_MODULES = 15  # in one folder

# Which packages each package may import, beside itself.
MAY_IMPORT: dict[str, set[str]] = {
    "system": set(),
    "configuration": {"system"},
    "jobs": {"configuration", "system"},
    "ospool": {"jobs", "configuration", "system"},
    "lifecycle": {"configuration", "system"},
    "status": {"lifecycle", "configuration", "system"},
    "container": {"lifecycle", "jobs", "configuration", "system"},
    "user_mode": {"container", "configuration", "system"},
}
# Imported by the generator of user-data and by the linter, too, so they neither read nor write anything.
PURE = {
    *(
        f"configuration.{name}"
        for name in ("condor_config", "expression", "ospool_config", "servers", "values")
    ),
    *("configuration.worker_file", "lifecycle.states", "ospool.distribution", "ospool.pilot_attributes"),
    "system.classad",
}


def modules() -> list[str]:
    """The dotted names below worker_runtime, without packages themselves."""
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted(".".join(path.parts) for path in paths if path.name != "__init__")


MODULES = modules()


def imported(tree: ast.AST) -> Iterator[str]:
    """The runtime's modules that a source imports, wherever in it the import is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        short = (
            name.removeprefix("worker_runtime.") for name in names if name.startswith("worker_runtime.")
        )
        yield from (name for name in short if name in MODULES)


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of the graph, its first node repeated at its end; empty if there is none."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph[node]):
            if found := search(other, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := search(node, []))), [])


@cache
def graph() -> dict[str, set[str]]:
    sources = {name: PACKAGE / (name.replace(".", "/") + ".py") for name in MODULES}
    return {name: set(imported(ast.parse(path.read_text("utf-8")))) for name, path in sources.items()}


def test_no_import_circle() -> None:
    assert " -> ".join(circle(graph())) == ""


def test_the_search_finds_a_circle() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    inside = (
        "def f():\n    from worker_runtime.system import files\n    import worker_runtime.system.paths\n"
    )
    assert set(imported(ast.parse(inside))) == {"system.files", "system.paths"}


@pytest.mark.parametrize("name", MODULES)
def test_packages_import_only_lower_ones(name: str) -> None:
    package = name.split(".")[0]
    others = {other.split(".")[0] for other in graph()[name]}
    assert others <= MAY_IMPORT[package] | {package}


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_do_no_input_or_output(name: str) -> None:
    """`os` is allowed for os.path alone."""
    tree = ast.parse((PACKAGE / (name.replace(".", "/") + ".py")).read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not names & {"subprocess", "socket", "shutil", "time", "select", "signal"}
    calls = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "open" not in calls
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert used <= {"path"}


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in PACKAGE.rglob("*.py")}), ids=lambda path: path.name
)
def test_folders_are_small(folder: Path) -> None:
    found = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(found) <= MOST_MODULES
    assert folder != PACKAGE or not found, "every module belongs to a package"
    assert (folder / "__init__.py").is_file()


def test_the_table_names_the_packages_that_exist() -> None:
    assert set(MAY_IMPORT) == {name.split(".")[0] for name in MODULES}
