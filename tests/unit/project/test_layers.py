"""The dependency rule, read from the imports: which folder may import which, and no circle anywhere.

Imports inside of functions count, imports for types alone (TYPE_CHECKING) do not.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent.parent.parent
LARGEST = 15  # modules in one folder

# Each folder, and the folders it may import besides itself and `provisioner`. From the entry points down.
BAKERY: Mapping[str, set[str]] = {
    "commands": {"bake", "base_proofs", "batch", "catalogue", "definition", "description", "engines",
                 "fleet", "freshness", "image", "imagediff", "openstack", "output", "page",
                 "publish", "rebuild", "runtime", "sources", "status", "store", "submit", "tokens",
                 "userdata", "verify"},
    "fleet": {"catalogue", "machines", "openstack", "publish", "runtime", "status", "store", "userdata"},
    "page": {"runtime", "tokens", "userdata"},
    "publish": {"catalogue", "description", "image", "openstack", "output", "runtime", "store"},
    "base_proofs": {"bake", "image", "imagediff", "output", "runtime", "store"},
    "definition": {"bake", "image", "output", "userdata"},
    "batch": {"bake", "runtime", "store"},
    "bake": {"catalogue", "description", "engines", "freshness", "image", "machines", "output", "runtime",
             "sources",
             "store", "verify"},
    "rebuild": {"bake", "engines", "freshness", "image", "imagediff", "output", "runtime", "store"},
    "submit": {"runtime"},
    "status": {"tokens", "userdata"},
    "description": {"freshness", "output", "runtime", "store"},
    "freshness": {"imagediff", "runtime", "sources", "store"},
    "imagediff": {"runtime", "store"},
    "verify": {"imagediff", "machines", "output", "runtime", "store", "tokens", "userdata"},
    "engines": {"image", "machines", "runtime", "store", "userdata"},
    "machines": {"runtime", "store", "userdata"},
    "catalogue": {"image", "runtime", "sources", "store"},
    "sources": {"image", "runtime", "store"},
    "output": {"runtime"},
    "userdata": {"runtime", "tokens"},
    "tokens": {"runtime"},
    "store": {"runtime"},
    "image": {"runtime", "userdata"},
    "openstack": set(),
    "runtime": set(),
}  # fmt: skip
PROVISIONER: Mapping[str, set[str]] = {
    "__main__": {
        "apply",
        "checkpoints",
        "plan",
        "errors",
        "events",
        "disk",
        "installed",
        "packages",
        "process",
        "roles",
        "source_date",
        "targets",
    },
    "remote": {"actions", "apply", "errors", "events", "plan", "roles", "steps", "targets"},
    "apply": {"actions", "events", "plan", "targets"},
    "installed": {"actions", "events", "targets"},
    "checkpoints": set(),
    "disk": {"errors", "process", "source_date", "targets"},
    "targets": {"actions", "errors", "named_file", "packages", "process", "source_date"},
    "roles": {"actions", "errors", "packages", "steps"},
    "packages": {"actions", "did_you_mean", "errors", "plan", "steps"},
    "plan": {"actions", "errors"},
    "steps": {"actions"},
    "actions": set(),
    "process": {"errors"},
    "events": {"errors"},
    "named_file": {"errors"},
    "did_you_mean": set(),
    "source_date": set(),
    "errors": set(),
}  # fmt: skip
# Only data and pure functions: no file, no process, no clock.
PURE = ["provisioner.actions", "provisioner.steps", "provisioner.plan", "provisioner.packages.repositories",
        "provisioner.roles.identity", "provisioner.roles.seal", "provisioner.roles.selinux"]  # fmt: skip


@cache
def imported() -> Mapping[str, set[str]]:
    """Of each module, the modules of ours that it imports."""
    graph = grimp.build_graph("bakery", "provisioner", exclude_type_checking_imports=True, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def folders(package: str, depth: int) -> Mapping[str, set[str]]:
    """Of each folder (or module) below a package, those beside it that it imports."""
    edges: dict[str, set[str]] = defaultdict(set)
    for module, used in imported().items():
        if module.startswith(f"{package}."):
            mine = module.split(".")[depth]
            below = {name.split(".")[depth] for name in used if name.startswith(f"{package}.")}
            edges[mine] |= below - {mine}
    return edges


def test_each_folder_of_the_bakery_imports_what_it_may() -> None:
    assert _not_allowed(folders("bakery", 1), BAKERY) == {}


def test_each_part_of_the_provisioner_imports_what_it_may() -> None:
    assert _not_allowed(folders("provisioner", 1), PROVISIONER) == {}


def _not_allowed(found: Mapping[str, set[str]], allowed: Mapping[str, set[str]]) -> dict[str, set[str]]:
    assert set(found) == set(allowed)
    more = {name: used - allowed[name] for name, used in found.items()}
    return {name: used for name, used in more.items() if used}


def test_the_rule_itself_has_no_circle() -> None:
    for rule in (BAKERY, PROVISIONER):
        assert len(list(TopologicalSorter(rule).static_order())) == len(rule)


def test_no_module_imports_itself_by_others() -> None:
    """Raises graphlib.CycleError, which names the circle."""
    assert len(list(TopologicalSorter(imported()).static_order())) == len(imported())


def test_the_provisioner_knows_nothing_of_the_bakery() -> None:
    above = {name: used for name, used in imported().items() if name.startswith("provisioner")}
    assert len(above) > 30
    assert not {name for name, used in above.items() if any(one.startswith("bakery") for one in used)}


def test_no_folder_has_more_modules_than_one_can_read() -> None:
    tops = ("bakery", "provisioner", "worker", "tools", "tests")
    count: dict[Path, int] = defaultdict(int)
    for path in (path for top in tops for path in (ROOT / top).rglob("*.py")):
        count[path.parent] += 1
    assert {str(folder): number for folder, number in count.items() if number > LARGEST} == {}


def test_nothing_of_the_bakery_is_loose() -> None:
    assert [path.name for path in (ROOT / "bakery").glob("*.py")] == ["__init__.py"]


def modules(packages: Iterable[str]) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def _names(path: Path) -> set[str]:
    """What a module imports, of ours or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_one_module_starts_processes() -> None:
    paths = modules(["bakery", "provisioner"])
    assert len(paths) > 400
    assert [path for path in paths if _starts_processes(path)] == [
        ROOT / "provisioner" / "process" / "run.py"
    ]


def _starts_processes(path: Path) -> bool:
    allowed = {"subprocess", "subprocess.Popen", "subprocess.TimeoutExpired"}  # a type, an end awaited
    text = path.read_text()
    if "subprocess" not in text:
        return False
    used = {name for name in _names(path) if name.startswith("subprocess")} - allowed
    return bool(used) or "import subprocess" in text


@pytest.mark.parametrize("name", PURE)
def test_plans_are_made_without_input_or_output(name: str) -> None:
    forbidden = {"os", "subprocess", "socket", "shutil", "time", "random", "pathlib"}
    path = ROOT / f"{name.replace('.', '/')}.py"
    assert not {module.split(".")[0] for module in _names(path)} & forbidden


def test_no_two_files_of_tests_that_run_together_have_one_name() -> None:
    """pytest imports a file by its name alone, and would leave the second one out."""
    tiers = [ROOT / "tests" / tier for tier in ("unit", "integration", "boot")]
    names = [path.name for tier in tiers for path in tier.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
