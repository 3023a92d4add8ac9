"""What scripts/bench layout counts, on small sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import layout


def package(folder: Path, **sources: str) -> Path:
    for name, text in {"__init__": "", **sources}.items():
        path = folder / f"{name.replace('__of__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def figures(folder: Path) -> layout.Layout:
    return layout.layout("it", layout.parsed(folder), layout.readme_lines(folder))


def test_modules_are_counted_by_folder_without_init(tmp_path: Path) -> None:
    found = figures(package(tmp_path, a="", inner__of__b="x = 1\ny = 2\n", inner__of__c=""))
    assert (found.top_level, found.fullest, found.modules) == (1, 2, 3)
    assert (found.largest, found.largest_name) == (2, "inner/b.py")


@pytest.mark.parametrize(("lines", "short"), [(20, 1.0), (21, 0.0)])
def test_a_function_of_twenty_lines_is_short(tmp_path: Path, lines: int, short: float) -> None:
    body = "\n".join(["    pass"] * (lines - 1))
    assert figures(package(tmp_path, a=f"@staticmethod\ndef f():\n{body}\n")).short == short


def test_nested_functions_and_methods_are_functions(tmp_path: Path) -> None:
    text = "class A:\n    async def m(self):\n        def inner():\n            pass\n"
    assert len(list(layout.functions(layout.parsed(package(tmp_path, a=text))[1].tree))) == 2


def test_what_is_public_has_no_underscore_in_its_name_or_its_class(tmp_path: Path) -> None:
    text = '''
def shown():
    """It says what it does."""
    def inner(): pass
def bare(): pass
def _hidden(): pass
class Shown:
    """So does this."""
    def method(self): pass
    def __init__(self): pass
class _Hidden:
    def method(self): pass
'''
    modules = layout.parsed(package(tmp_path, a=text))
    names = [found.name for module in modules for found in layout.public(module.tree)]
    assert names == ["shown", "bare", "Shown", "method"]
    assert figures(tmp_path).documented == 0.5


def test_the_readme_is_the_nearest_one_above(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("one\ntwo\n")
    assert layout.readme_lines(package(tmp_path / "of" / "it")) == 2


def test_the_table_is_markdown(tmp_path: Path) -> None:
    head, rule, row = layout.table([figures(package(tmp_path, a="x = 1\n"))]).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    assert "| it | 1 | 1 | 1 | 1 (`a.py`) | 100% | 100% |" in row


def test_our_own_packages_are_there() -> None:
    for folder in layout.OURS:
        assert (layout.ROOT / folder / "__init__.py").is_file()
