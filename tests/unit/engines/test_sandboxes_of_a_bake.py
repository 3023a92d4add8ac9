"""At which step each sandbox of a bake ends, and after which roles a checkpoint is written."""

from __future__ import annotations

import argparse
import io
from collections.abc import Collection
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


def through(
    first: int, last: int, policy: Policy, writing: float = 0.0, awaited: Collection[int] = ()
) -> tuple[int, bool, Recorder]:
    options = argparse.Namespace(
        first=first, last=last, checkpoints=policy, writing=writing, awaited=awaited
    )
    target = Recorder()
    return (*sandbox._steps(PLAN, target, options, JsonLines(io.StringIO())), target)


@pytest.mark.parametrize("policy", ["auto", "none"])
def test_a_sandbox_continues_if_no_checkpoint_saves_time(policy: Policy) -> None:
    """The steps take no time here."""
    done, keep, target = through(0, len(PLAN.steps), policy)
    assert (done, keep) == (len(PLAN.steps), False)
    assert target.actions == [action for step in PLAN.steps for action in step.actions]


def test_with_policy_all_it_ends_after_each_role_except_the_seal() -> None:
    done, kept = 0, []
    while done < len(PLAN.steps):
        done, keep, _ = through(done, len(PLAN.steps), "all")
        kept += [done] if keep else []
    assert kept == list(ENDS[:-1])


def test_a_checkpoint_for_which_other_bakes_wait_is_written_in_any_case() -> None:
    done, keep, _ = through(0, len(PLAN.steps), "none", awaited=[ENDS[1]])
    assert (done, keep) == (ENDS[1], True)


def test_a_checkpoint_follows_a_slow_role(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 11.0])  # seconds; the first role alone is too short
    monkeypatch.setattr(sandbox, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(sandbox, "apply", lambda *_: None)
    assert through(0, len(PLAN.steps), "auto", writing=3.0)[:2] == (ENDS[1], True)


def sandbox_ends(more: str, tmp_path: Path) -> list[int]:
    """The steps at which sandboxes must end."""
    repositories = chroot.Repositories("trixie", "Types: deb\n", more)
    bake = chroot._Bake(PLAN, Store(tmp_path), repositories, tmp_path, tmp_path, Silent(), (), rewrite=True)
    found, done = list[int](), 0
    while done < len(PLAN.steps):
        done = chroot._sandbox_end(done, bake)
        found.append(done)
    return found


def test_optional_roles_with_more_sources_have_their_own_sandbox(tmp_path: Path) -> None:
    roles = [PLAN.steps[end - 1].role for end in ENDS]
    assert sandbox_ends("", tmp_path) == [len(PLAN.steps)]
    before, after = ENDS[roles.index("condor")], ENDS[roles.index("apptainer")]
    assert sandbox_ends("Types: deb\n", tmp_path) == [before, after, len(PLAN.steps)]


def test_temporary_apt_and_dpkg_settings_are_not_in_the_plan() -> None:
    def of_a(plan: Plan) -> str:
        return "\n".join(str(action) for step in plan.steps for action in step.actions)

    assert "force-unsafe-io" in APT_CONF and "unsafe-io" not in of_a(PLAN)
