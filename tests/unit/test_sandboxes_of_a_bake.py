"""How far one sandbox of a bake goes, and after which roles the disk is kept."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from bakery.engines.chroot import engine as chroot
from bakery.image import bases, recipe
from bakery.store.store import Store
from provisioner import __main__ as sandbox
from provisioner.checkpoints import Policy
from provisioner.events import JsonLines, Silent
from provisioner.plan import Plan
from provisioner.targets.chroot import APT_CONF
from provisioner.targets.recorder import Recorder

PLAN = recipe.plan(bases.find("debian13"), "osg", optional=("apptainer",))
ENDS = PLAN.role_ends()


def through(first: int, last: int, policy: Policy, writing: float = 0.0) -> tuple[int, bool, Recorder]:
    options = argparse.Namespace(first=first, last=last, checkpoints=policy, writing=writing)
    target = Recorder()
    return (*sandbox._steps(PLAN, target, options, JsonLines(io.StringIO())), target)


@pytest.mark.parametrize("policy", ["auto", "none"])
def test_a_room_goes_on_where_no_checkpoint_pays(policy: Policy) -> None:
    """No step takes any time here."""
    done, keep, target = through(0, len(PLAN.steps), policy)
    assert (done, keep) == (len(PLAN.steps), False)
    assert target.actions == [action for step in PLAN.steps for action in step.actions]


def test_it_ends_after_each_role_where_all_are_wanted_but_at_the_sealed_disk() -> None:
    done, kept = 0, []
    while done < len(PLAN.steps):
        done, keep, _ = through(done, len(PLAN.steps), "all")
        kept += [done] if keep else []
    assert kept == list(ENDS[:-1])


def test_a_slow_role_s_disk_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 11.0])  # the first role alone is not worth it
    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(sandbox, "apply", lambda *_: None)
    assert through(0, len(PLAN.steps), "auto", writing=3.0)[:2] == (ENDS[1], True)


def sandbox_ends(more: str, tmp_path: Path) -> list[int]:
    """Where sandboxes end at the latest."""
    repositories = chroot.Repositories("trixie", "Types: deb\n", more)
    bake, found, done = chroot._Bake(PLAN, Store(tmp_path), repositories, tmp_path, Silent()), [], 0
    while done < len(PLAN.steps):
        done = chroot._sandbox_end(done, bake)
        found.append(done)
    return found


def test_optional_roles_have_a_room_of_their_own_where_they_see_more(tmp_path: Path) -> None:
    roles = [PLAN.steps[end - 1].role for end in ENDS]
    assert sandbox_ends("", tmp_path) == [len(PLAN.steps)]
    before, after = ENDS[roles.index("condor")], ENDS[roles.index("apptainer")]
    assert sandbox_ends("Types: deb\n", tmp_path) == [before, after, len(PLAN.steps)]


def test_what_apt_and_dpkg_are_told_for_a_bake_is_in_no_plan() -> None:
    def of_a(plan: Plan) -> str:
        return "\n".join(str(action) for step in plan.steps for action in step.actions)

    assert "force-unsafe-io" in APT_CONF and "unsafe-io" not in of_a(PLAN)
