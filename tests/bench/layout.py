"""The layout of this project's Python packages beside those of other projects, as a table.

    scripts/bench layout [NAME=FOLDER ...]

FOLDER is a Python package (the folder with its __init__.py). Without arguments, the packages of this
project; with arguments, these first and then the given ones:

    scripts/bench layout mkosi=/tmp/mkosi/mkosi osbuild=/tmp/osbuild/osbuild

Nothing is imported; the sources are parsed. What the columns count:

    top level    modules in FOLDER itself, without __init__.py
    folder       modules in the fullest folder at or below FOLDER, without __init__.py
    modules      all modules, without __init__.py
    largest      lines of the longest module, and its name
    <= 20 lines  share of all functions and methods whose text from `def` to the last line, docstring
                 included, has at most 20 lines
    docstring    share with a docstring among public functions, classes and methods: those whose name, and
                 that of every class around them, does not begin with an underscore; functions within
                 functions are not public
    README       lines of the README in FOLDER or the nearest folder above it
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
OURS = ("bakery", "provisioner", "worker/common/usr/lib/worker-bakery/worker_runtime")
SHORT = 20  # lines
_HEAD = ("package", "top level", "folder", "modules", "largest", f"<= {SHORT} lines", "docstring", "README")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file: its path within the package, its number of lines, its syntax tree."""

    path: Path
    lines: int
    tree: ast.Module


@dataclass(frozen=True)
class Layout:
    """The figures of one package; shares are between 0 and 1, of nothing at all 1."""

    name: str
    top_level: int
    fullest: int
    modules: int
    largest: int
    largest_name: str
    short: float
    documented: float
    readme: int


def parsed(folder: Path) -> tuple[Module, ...]:
    """All modules at or below the folder. Raises SyntaxError for what this Python cannot parse."""
    return tuple(_module(folder, path) for path in sorted(folder.rglob("*.py")))


def _module(folder: Path, path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path.relative_to(folder), len(text.splitlines()), ast.parse(text, str(path)))


def layout(name: str, modules: Sequence[Module], readme: int) -> Layout:
    """The figures of a package from its parsed modules; it has at least one. `readme` is in lines."""
    named = [module for module in modules if module.path.name != "__init__.py"]
    folders = Counter(module.path.parent for module in named)
    largest = max(modules, key=lambda module: module.lines)
    return Layout(
        name=name,
        top_level=folders[Path()],
        fullest=max(folders.values(), default=0),
        modules=len(named),
        largest=largest.lines,
        largest_name=str(largest.path),
        short=_share([length(found) <= SHORT for module in modules for found in functions(module.tree)]),
        documented=_share(
            [ast.get_docstring(found) is not None for module in modules for found in public(module.tree)]
        ),
        readme=readme,
    )


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions and methods, nested ones included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def length(function: Function) -> int:
    """Lines from `def` (without decorators) to the end, docstring and comments included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def public(tree: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Public functions and classes of a module, and public methods of public classes."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def _share(answers: Sequence[bool]) -> float:
    return sum(answers) / len(answers) if answers else 1.0


def readme_lines(folder: Path) -> int:
    """Lines of the README in the folder or the nearest one above it; 0 if there is none."""
    for place in (folder, *folder.parents):
        for path in sorted(place.glob("README*")):
            return len(path.read_text(encoding="utf-8").splitlines())
    return 0


def table(rows: Sequence[Layout]) -> str:
    """The figures as a Markdown table."""
    lines = [_HEAD, ("---",) * len(_HEAD), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Layout) -> tuple[str, ...]:
    return (
        row.name,
        str(row.top_level),
        str(row.fullest),
        str(row.modules),
        f"{row.largest} (`{row.largest_name}`)",
        f"{row.short:.0%}",
        f"{row.documented:.0%}",
        str(row.readme),
    )


def _pair(word: str) -> tuple[str, Path]:
    name, _, folder = word.partition("=")
    path = Path(folder).resolve()
    if not name or not folder or not (path / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{word!r} must be NAME=FOLDER, FOLDER a Python package")
    return name, path


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench layout",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("packages", nargs="*", type=_pair, metavar="NAME=FOLDER")
    ours = [(Path(folder).name, ROOT / folder) for folder in OURS]
    wanted = [*ours, *parser.parse_args().packages]
    print(table([layout(name, parsed(folder), readme_lines(folder)) for name, folder in wanted]))


if __name__ == "__main__":
    main()
