"""Tests of bake-image --explain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakery.image import bases, recipe
from bakery.store.explain import Change, Earlier, compare, explain, nearest_plan, to_json, to_text
from bakery.store.store import Store, commit, work_folder
from provisioner import plan as plans
from provisioner.plan import Plan, PlannedStep, chained_id
from provisioner.steps import Command, File, Files, Packages, Service, Step

BASE_ID = "0" * 64
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"


def make(*steps: Step, base_id: str = BASE_ID, base: str = "debian13", kind: str = "osg") -> Plan:
    planned, before = [], base_id
    for step in steps:
        before = chained_id(before, step.actions())
        planned.append(PlannedStep("role", step.title, step.actions(), before))
    return Plan(base, base_id, kind, tuple(planned))


def two(mine: bytes, mode: int = 0o644) -> Files:
    return Files("the files", (File("/a", b"same\n"), File("/b", mine, mode)))


INSTALL = Packages("apt", frozenset({"condor"}))
ENABLE = Service("a.service", "enable")


def changes(old: Plan, new: Plan) -> list[Change]:
    return list(compare(old, new))


def test_equal_plans_have_no_difference() -> None:
    assert changes(make(INSTALL, two(b"x\n")), make(INSTALL, two(b"x\n"))) == []


def test_changed_text_file_yields_a_unified_diff() -> None:
    (change,) = changes(make(two(b"one\nsame\n"), ENABLE), make(two(b"two\nsame\n"), ENABLE))
    assert (change.how, change.title) == ("changed", "the files")
    assert change.lines == ("--- /b", "+++ /b", "@@ -1,2 +1,2 @@", "-one", "+two", " same")


def test_changed_binary_file_yields_sizes_and_digests() -> None:
    (change,) = changes(make(two(b"\xff\x00")), make(two(b"\xff\x00\x01")))
    assert [line.rpartition(" ")[0] for line in change.lines] == [
        "-/b: 2 bytes, sha256",
        "+/b: 3 bytes, sha256",
    ]


def test_changed_mode_and_added_file() -> None:
    (change,) = changes(make(two(b"x\n")), make(two(b"x\n", 0o755)))
    assert change.lines == ("/b: mode 0644 → 0755",)
    more = Files("the files", (*two(b"x\n").files, File("/c", b"new\n")))
    (change,) = changes(make(two(b"x\n")), make(more))
    assert change.lines[:2] == ("--- /dev/null", "+++ /c")


def test_steps_added_and_removed() -> None:
    old, new = make(INSTALL, two(b"x\n")), make(INSTALL, ENABLE, two(b"x\n"))
    assert [(c.how, c.title) for c in changes(old, new)] == [("added", "enable a.service")]
    assert [(c.how, c.title) for c in changes(new, old)] == [("removed", "enable a.service")]


def test_changed_command_yields_both_commands() -> None:
    (change,) = changes(
        make(Command("do", ("sh", "-c", "a\nb"))), make(Command("do", ("sh", "-c", "a\nc")))
    )
    assert "-b'" in change.lines
    assert "+c'" in change.lines


def test_replaced_base_is_a_change() -> None:
    (change,) = changes(make(INSTALL), make(INSTALL, base_id="1" * 64))
    assert change.role == "base"


def test_token_is_removed() -> None:
    (change,) = changes(make(two(b"x\n")), make(two(f"Token = {TOKEN}\n".encode())))
    assert "c2lnbmF0dXJl" not in "\n".join(change.lines)
    assert any(line.startswith("+Token") for line in change.lines)


def test_stamp_is_ignored() -> None:
    base = bases.find("debian13")
    stamped = recipe.with_stamp(make(INSTALL), base)
    assert [c.title for c in changes(stamped, recipe.with_stamp(make(INSTALL, ENABLE), base))] == [
        ENABLE.title
    ]


def test_nearest_plan_shares_most_steps_and_is_the_latest() -> None:
    plan = make(INSTALL, two(b"new\n"), ENABLE)
    far = Earlier(make(Packages("apt", frozenset({"other"}))), "2026-05-01")
    older = Earlier(make(INSTALL, two(b"old\n"), ENABLE), "2026-01-01")
    newer = Earlier(make(INSTALL, two(b"newer\n"), ENABLE), "2026-03-01")
    foreign = Earlier(make(INSTALL, two(b"new\n"), base="other"), "2026-06-01")
    unlike = Earlier(make(INSTALL, two(b"new\n"), kind="other"), "2026-06-01")
    assert nearest_plan(plan, [far, older, newer, foreign, unlike]) == newer
    assert nearest_plan(plan, [foreign, unlike]) is None


# --- against a store ---------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def put(cache: Store, at: Path, plan: Plan, **more: Any) -> None:
    with work_folder(cache) as work:
        (work / "disk").write_bytes(b"disk")
        manifest = {"base_id": plan.base_id, "size": 4, "made": "2026-01-01", "plan": plans.to_json(plan)}
        commit(work / "disk", at, {**manifest, **more})


def test_empty_store_is_not_modified(cache: Store) -> None:
    found = explain(make(INSTALL, ENABLE), cache)
    assert (found.cached, found.by, found.earlier, found.base) == (0, "", None, False)
    assert "contains no earlier plan" in "\n".join(to_text(found))
    assert not cache.root.exists()


def test_checkpoint_saves_its_steps_and_is_compared(cache: Store) -> None:
    old, new = make(INSTALL, two(b"old\n")), make(INSTALL, two(b"new\n"))
    put(cache, cache.base(BASE_ID), old)
    put(cache, cache.checkpoint(old.id_after(1)), old, steps=1)
    explained = to_json(explain(new, cache))
    assert [step["cached"] for step in explained["steps"]] == [True, False]
    assert explained["cached"] == {"steps": 1, "by": f"checkpoint {old.steps[0].id[:12]}"}
    assert "-old" in explained["changes"][0]["lines"]


def test_checkpoint_without_its_base_saves_no_step(cache: Store) -> None:
    plan = make(INSTALL, ENABLE)
    put(cache, cache.checkpoint(plan.id_after(1)), plan, steps=1)
    assert explain(plan, cache).cached == 0


def test_cached_image_saves_all_steps_and_a_truncated_one_none(cache: Store) -> None:
    plan = make(INSTALL, ENABLE)
    put(cache, cache.image(plan), plan)
    assert explain(plan, cache).cached == 2
    cache.image(plan).write_bytes(b"dis")
    found = explain(plan, cache)
    assert found.cached == 0
    assert "none; the image is no longer in the cache" in "\n".join(to_text(found))
