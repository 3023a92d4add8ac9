"""What people wait for on every call: the modules that a command imports before it does anything.

Read from the sources: all that is imported at the top of a module, and of those that it imports.
tests/integration/commands/test_quick_commands.py looks at the processes themselves.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
OURS = ("bakery", "provisioner")
# Of the standard library: more than a millisecond each, and wanted by a few calls only.
SLOW = {
    "asyncio",
    "difflib",
    "email",
    "importlib.metadata",
    "platform",
    "shutil",
    "ssl",
    "subprocess",
    "tempfile",
}


def _module(name: str) -> Path | None:
    path = ROOT / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _at_the_top(nodes: list[ast.stmt]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.If() | ast.Try() | ast.With():
                yield from _at_the_top(node.body)


@cache
def _imports(source: Path) -> tuple[str, ...]:
    return tuple(_at_the_top(ast.parse(source.read_text()).body))


@cache
def imported_by(name: str) -> frozenset[str]:
    """All modules that `import name` imports, its own and those of theirs that are ours."""
    found, left = set[str](), [name]
    while left:
        module = left.pop()
        if module in found:
            continue
        parents = (module.rpartition(".")[0],) if "." in module else ()
        source = _module(module) if module.split(".")[0] in OURS else None
        if module.split(".")[0] not in OURS:
            found.add(module)
        elif source:
            found.add(module)
            left += [*parents, *_imports(source)]
    return frozenset(found)


def packages(names: frozenset[str]) -> set[str]:
    """Those of other projects."""
    tops = {name.split(".")[0] for name in names}
    return tops - set(OURS) - set(sys.stdlib_module_names)


# What each of them means: --help; --list-bases and --dry-run; an image that the store has.
@pytest.mark.parametrize(
    "name",
    [
        *(f"bakery.commands.{name}" for name in ("main", "bake", "remote", "diff", "verify")),
        *(f"bakery.commands.{name}" for name in ("bases", "cache", "completion", "config", "shell")),
        "bakery.commands.definition.images",
        "bakery.commands.command_line.completion",
        "bakery.commands.command_line.manual",
        "bakery.bake.options",
        "bakery.bake.lookup",
        "bakery.runtime.progress",
        "bakery.commands.userdata",
        "bakery.commands.token.command",
    ],
)
def test_no_package_of_others_is_imported_before_it_is_wanted(name: str) -> None:
    assert not packages(imported_by(name))


@pytest.mark.parametrize("name", ["bakery.bake.options", "bakery.bake.lookup"])
def test_a_look_up_imports_nothing_that_bakes(name: str) -> None:
    """Neither a plan nor an image of the store takes an engine, a machine or a process."""
    ours = {module for module in imported_by(name) if module.split(".")[0] in OURS}
    bakes = (
        "bakery.bake.build",
        "bakery.engines.",
        "bakery.machines.",
        "bakery.verify.",
        "provisioner.process.run",
    )
    assert not {module for module in ours if module.startswith(bakes)}
    assert not imported_by(name) & SLOW


def test_a_bake_imports_what_bakes() -> None:
    """Else the others would tell nothing."""
    assert not packages(imported_by("bakery.bake.build"))
    assert "paramiko" in packages(imported_by("bakery.engines.packer.engine"))
    assert {"bakery.engines.chroot.engine", "provisioner.process.run", "subprocess"} <= imported_by(
        "bakery.bake.build"
    )
