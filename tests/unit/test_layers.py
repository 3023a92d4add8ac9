"""The dependency rule, read from the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", modules("provisioner"), ids=str)
def test_the_provisioner_knows_nothing_of_the_bakery(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] == "bakery"}


@pytest.mark.parametrize("path", modules("provisioner") + modules("bakery"), ids=str)
def test_one_module_starts_processes(path: Path) -> None:
    allowed = {"subprocess", "subprocess.Popen", "subprocess.TimeoutExpired"}  # a type, an end awaited
    used = {name for name in imports(path) if name.startswith("subprocess")} - allowed
    if path != ROOT / "provisioner" / "run.py":
        assert not used
        assert "import subprocess" not in path.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "provisioner/steps.py",
        "provisioner/plan.py",
        "provisioner/actions.py",
        "provisioner/packages/repositories.py",
        "provisioner/roles/seal.py",
        "provisioner/roles/selinux.py",
    ],
)
def test_plans_are_made_without_input_or_output(name: str) -> None:
    forbidden = {"os", "subprocess", "socket", "shutil", "time", "random", "pathlib"}
    assert not {module.split(".")[0] for module in imports(ROOT / name)} & forbidden


def test_no_two_files_of_tests_that_run_together_have_one_name() -> None:
    """pytest imports a file by its name alone, and would leave the second one out."""
    tiers = [ROOT / "tests" / tier for tier in ("unit", "integration", "boot")]
    names = [path.name for tier in tiers for path in tier.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
