"""The tables of scripts/test quick are true, and what is chosen fits the time."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests import conftest, quick
from tests.quick import CONCERN, LIMIT, OVERHEAD, ROOT, SECONDS, select


def test_each_file_of_tests_has_its_seconds() -> None:
    there = {
        str(path.relative_to(ROOT))
        for tier in ("integration", "boot")
        for path in (ROOT / "tests" / tier).rglob("test_*.py")
    }
    assert {test for test in SECONDS if "::" not in test} == there


def test_each_test_with_seconds_of_its_own_is_there() -> None:
    for test in SECONDS:
        path, _, name = test.partition("::")
        name = name.partition("[")[0]
        assert not name or f"\ndef {name}(" in (ROOT / path).read_text()
        assert not name or SECONDS[test] < SECONDS[path]


def test_each_place_is_there_and_its_tests_are() -> None:
    for place, tests in CONCERN.items():
        path = ROOT / place
        assert path.is_dir() if place.endswith("/") else path.is_file(), place
        assert tests, place
        assert set(tests) <= set(SECONDS), place


def test_each_folder_of_sources_has_a_line() -> None:
    modules = [path for top in ("bakery", "provisioner") for path in (ROOT / top).rglob("*.py")]
    places = {f"{path.parent.relative_to(ROOT)}/" for path in modules}
    places |= {"cloud-init/", "packer/", "scripts/", "tests/image/"}
    places |= {f"worker/{path.name}/" for path in (ROOT / "worker").iterdir() if path.is_dir()}
    assert places <= set(CONCERN)


def test_some_of_what_tells_most_has_time() -> None:
    """A change in one place is looked at by more than unit tests, whatever it is."""
    for place in CONCERN:
        found = select([place.rstrip("/") + ("/x.py" if place.endswith("/") else "")])
        assert found.chosen, place
        assert found.seconds <= LIMIT, place


def test_nothing_else_is_chosen_for_documents() -> None:
    found = select(["README.md", "docs/hpc.md", ".gitignore"])
    assert found == quick.Selection((), (), OVERHEAD)


def test_a_file_of_tests_that_are_all_marked_full_is_run_by_their_names() -> None:
    folder = "tests/integration/fleet"
    words = quick.arguments(f"{folder}/test_fleet_catalogue.py")
    assert words
    assert all(word.startswith(f"{folder}/test_fleet_catalogue.py::test_") for word in words)
    for test in ("tests/integration/bake/test_bake.py", f"{folder}/test_fleet.py::test_x"):
        assert quick.arguments(test) == (test,)


def test_a_file_of_tests_concerns_itself() -> None:
    found = select(["tests/integration/bake/test_run.py", "tests/unit/provisioner/test_plan.py"])
    assert found.chosen == ("tests/integration/bake/test_run.py",)


def test_the_nearest_place_counts() -> None:
    assert quick.concerned("bakery/userdata/lint/names.py") == CONCERN["bakery/userdata/lint/"]
    assert quick.concerned("bakery/sources/download.py") == CONCERN["bakery/sources/download.py"]
    assert quick.concerned("bakery/nobody.py") == CONCERN["bakery/"]


def test_whatever_changes_it_fits_and_what_does_not_is_said() -> None:
    """All at once: the most telling come first, of these the quickest."""
    found = select([*CONCERN, *SECONDS])
    assert found.seconds == quick.together(found.chosen) <= LIMIT
    assert set(found.chosen) | set(found.left_out) == set(SECONDS)
    assert all(quick.together([*found.chosen, test]) > LIMIT for test in found.left_out)


def test_the_longest_file_is_one_lane_s_and_the_rest_is_shared() -> None:
    short, long = (
        "tests/integration/sources/test_download.py",
        "tests/integration/worker/test_worker_health.py",
    )
    assert quick.together([]) == OVERHEAD
    assert quick.together([short, long]) == OVERHEAD + SECONDS[long]
    assert quick.together([short, short]) == OVERHEAD + SECONDS[short]


class Item(SimpleNamespace):
    """What is asked of a test when it is collected."""

    def get_closest_marker(self, _: str) -> object:
        return self.marked or None

    @property
    def path(self) -> Path:
        return Path(self.nodeid.split("::")[0]).resolve()


def collected(*nodeids: str, full: bool = False, words: tuple[str, ...] = ()) -> tuple[list[str], int]:
    """In the order in which they run, and how many are left for the full run."""
    hook = SimpleNamespace(pytest_deselected=lambda items: None)
    config = SimpleNamespace(getoption=lambda _: full, args=words, hook=hook, stash=pytest.Stash())
    items = [
        Item(
            nodeid=nodeid,
            marked="full" in nodeid,
            obj=SimpleNamespace(is_hypothesis_test=nodeid.endswith("any")),
            fixturenames=["baked"] if nodeid.endswith("image") else [],
        )
        for nodeid in nodeids
    ]
    conftest.pytest_collection_modifyitems(cast(Any, config), cast(Any, items))
    return [item.nodeid for item in items], config.stash.get(conftest._left, 0)


VM, UNIT = "tests/boot/vm/test_proof.py::a", "tests/unit/provisioner/test_plan.py::a"


def test_machines_begin_then_the_longest_files_and_last_what_takes_no_time() -> None:
    long, short = "tests/integration/bake/test_kill.py", "tests/integration/bake/test_run.py"
    assert SECONDS[long] > SECONDS[short]
    wanted = [VM, f"{long}::b", f"{long}::a", f"{short}::a", UNIT]
    order, _ = collected(UNIT, f"{short}::a", f"{long}::b", f"{long}::a", VM)
    assert order == wanted


def test_what_needs_an_image_waits_for_what_needs_none() -> None:
    long, short = "tests/integration/bake/test_kill.py", "tests/integration/bake/test_run.py"
    order, _ = collected(UNIT, f"{short}::a", f"{long}::image", f"{long}::a", VM)
    assert order == [VM, f"{short}::a", UNIT, f"{long}::image", f"{long}::a"]


def test_what_nobody_has_measured_does_not_come_last() -> None:
    assert collected(UNIT, "tests/boot/test_new.py::a")[0] == ["tests/boot/test_new.py::a", UNIT]


def test_what_is_marked_full_runs_by_itself_or_by_its_name() -> None:
    slow = "tests/boot/vm/test_packer.py::full"
    assert collected(VM, slow) == ([VM], 1)
    assert collected(VM, slow, full=True) == ([slow], 0)
    assert collected(VM, slow, words=(slow,)) == ([VM, slow], 0)
    assert collected(VM, slow, words=(VM,)) == ([VM], 1)
    assert collected(VM, f"{slow}[a]", words=(slow,)) == ([VM, f"{slow}[a]"], 0)
    assert collected(VM, f"{slow}-other", words=(slow,)) == ([VM], 1)


def test_those_of_any_input_are_in_both() -> None:
    anything = "tests/unit/provisioner/test_plan.py::any"
    assert collected(VM, anything) == ([VM, anything], 0)
    assert collected(VM, anything, full=True) == ([anything], 0)


def test_paths_are_of_this_repository() -> None:
    assert all(not Path(path).is_absolute() for path in (*SECONDS, *CONCERN))
