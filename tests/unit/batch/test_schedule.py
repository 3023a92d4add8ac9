"""Which checkpoints several images share, and the order of the jobs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.batch.schedule import BASE, Job, Schedule, Wanted, following, schedule
from bakery.image import bases, recipe
from provisioner.actions import Action, Put, Run
from provisioner.plan import Plan, PlannedStep, chained_id

DEBIAN = bases.find("debian13")
OSG = recipe.plan(DEBIAN, "osg")
OSG_UDOCKER = recipe.plan(DEBIAN, "osg", optional=("udocker",))
PROMINENCE = recipe.plan(DEBIAN, "prominence")
PROMINENCE_UDOCKER = recipe.plan(DEBIAN, "prominence", optional=("udocker",))


def wanted(*plans: Plan) -> list[Wanted]:
    return [Wanted(plan, plan.image) for plan in plans]


def after(plan: Plan, role: str) -> int:
    return next(end for end in plan.role_ends() if plan.steps[end - 1].role == role)


def test_four_images_share_two_checkpoints() -> None:
    condor, udocker = after(OSG, "condor"), after(OSG_UDOCKER, "udocker")
    made = schedule(wanted(OSG, OSG_UDOCKER, PROMINENCE, PROMINENCE_UDOCKER), {DEBIAN.id})
    assert made == (
        Job(0, condor, (), below=4),
        Job(1, udocker, (0,), below=2),
        Job(0, None, (0,)),
        Job(1, None, (1,)),
        Job(2, None, (0,)),
        Job(3, None, (1,)),
    )


def test_a_checkpoint_in_the_store_is_not_made_again() -> None:
    condor = OSG.id_after(after(OSG, "condor"))
    assert schedule(wanted(OSG, PROMINENCE), {DEBIAN.id, condor}) == (Job(0, None), Job(1, None))


def test_images_in_the_store_need_nothing() -> None:
    stored = [Wanted(OSG, OSG.image, stored=True), Wanted(PROMINENCE, PROMINENCE.image, stored=True)]
    assert schedule(stored, set()) == (Job(0, None), Job(1, None))
    assert schedule([stored[0], *wanted(PROMINENCE)], set()) == (Job(0, None), Job(1, None))


def test_without_checkpoints_only_the_base_is_shared() -> None:
    alone = [Wanted(plan, plan.image, checkpoints=False) for plan in (OSG, PROMINENCE)]
    assert schedule(alone, set()) == (Job(0, BASE, below=2), Job(0, None, (0,)), Job(1, None, (0,)))
    assert schedule(alone, {DEBIAN.id}) == (Job(0, None), Job(1, None))


def test_an_image_that_is_wanted_twice_is_made_by_the_first() -> None:
    assert schedule(wanted(OSG, OSG), {DEBIAN.id}) == (Job(0, None, below=1), Job(1, None, (0,)))


def test_images_of_different_bases_share_nothing() -> None:
    other = recipe.plan(bases.find("almalinux9"), "osg")
    assert schedule(wanted(OSG, other), set()) == (Job(0, None), Job(1, None))


QUICK, SLOW = Run(("systemctl", "enable", "a.service")), Run(("apt-get", "install", "a"))


@pytest.mark.parametrize(
    ("shared", "count"), [((SLOW,), 1), ((QUICK,), 0), ((Put("/a", b"", 0o644),), 0), ((QUICK, SLOW), 1)]
)
def test_steps_that_take_no_time_are_not_worth_a_checkpoint(shared: tuple[Action, ...], count: int) -> None:
    one, other = (plan_of("b", [("first", shared), (name, (SLOW,))]) for name in ("one", "other"))
    other = plan_of("b", [("first", shared), ("other", (SLOW, SLOW))])
    made = schedule(wanted(one, other), {"b"})
    assert len([job for job in made if job.steps is not None]) == count


def plan_of(base: str, roles: Sequence[tuple[str, tuple[Action, ...]]]) -> Plan:
    """A plan with one step for each action."""
    steps: list[PlannedStep] = []
    before = base
    for role, actions in roles:
        for action in actions:
            before = chained_id(before, (action,))
            steps.append(PlannedStep(role, role, (action,), before))
    return Plan(base, base, "osg", tuple(steps))


# Roles of one or two steps; the same letter is the same content.
_roles = st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=4)


def made_plan(base: str, number: int, names: Sequence[str]) -> Plan:
    shared = [(f"{at}{name}", tuple(Run((letter,)) for letter in name)) for at, name in enumerate(names)]
    return plan_of(base, [*shared, ("seal", (Run((f"seal-{number}",)),))])


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Wanted], set[str]]:
    """Images, some of them stored or wanted twice, and what the store has: checkpoints over their bases."""
    plans = [
        made_plan(draw(st.sampled_from(["x", "y"])), draw(st.integers(0, 3)), draw(_roles))
        for _ in range(draw(st.integers(1, 6)))
    ]
    images = [
        Wanted(plan, plan.id, stored=draw(st.integers(0, 3)) == 0, checkpoints=draw(st.integers(0, 5)) > 0)
        for plan in plans
    ]
    there = draw(st.sets(st.sampled_from(["x", "y"])))
    over = {plan.id_after(n) for plan in plans if plan.base in there for n in range(1, len(plan.steps))}
    return images, there | {one for one in sorted(over) if draw(st.integers(0, 4)) == 0}


@given(batches())
def test_every_image_is_made_exactly_once_and_after_what_it_needs(
    batch: tuple[list[Wanted], set[str]],
) -> None:
    images, stored = batch
    jobs = schedule(images, stored)
    assert [job.image for job in jobs if job.steps is None] == list(range(len(images)))
    assert all(needed < number for number, job in enumerate(jobs) for needed in job.needs)
    ids = [images[job.image].plan.id_after(job.steps) for job in jobs if job.steps is not None]
    assert len(ids) == len(set(ids))
    assert not set(ids) & stored


@given(batches())
def test_no_step_that_takes_time_is_applied_twice(batch: tuple[list[Wanted], set[str]]) -> None:
    """Of images that use checkpoints: each starts from the latest checkpoint of the store or of a job."""
    images, stored = batch
    jobs = schedule(images, stored)
    done = set(stored)
    applied: list[str] = []
    names: set[str] = set()
    is_first = False
    for job in jobs:
        this = images[job.image]
        if job.steps is None and not this.stored:
            is_first = this.name not in names
            names.add(this.name)
        if job.steps is None and (this.stored or not is_first or not this.checkpoints):
            continue
        end = len(this.plan.steps) if job.steps is None else job.steps
        start = max((n for n in range(end) if this.plan.id_after(n) in done), default=0)
        applied += [step.id for step in this.plan.steps[start:end]]
        done |= {this.plan.id_after(end), this.plan.base_id} if job.steps is not None else set()
    ends = {i.plan.id_after(n) for i in images for n in i.plan.role_ends()}
    twice = {one for one in applied if applied.count(one) > 1} & ends
    assert not {one for one in twice if shared_by_role(one, images)}


def shared_by_role(step: str, images: Sequence[Wanted]) -> bool:
    """Whether this end of a role is one of at least two pending images, in each followed by other steps."""
    first = {image.name: image for image in reversed(images) if not image.stored}  # which makes the file
    pending = [image.plan for image in first.values() if image.checkpoints]
    plans = [plan for plan in pending if step in {plan.id_after(n) for n in plan.role_ends()}]
    return len(plans) > 1 and all(plan.steps[-1].id != step for plan in plans)


@given(batches(), st.integers(1, 4), st.randoms())
def test_workers_perform_every_job_once_and_none_before_its_needs(
    batch: tuple[list[Wanted], set[str]], workers: int, random: object
) -> None:
    jobs = schedule(*batch)
    order = performed(jobs, workers, random)
    assert sorted(order) == list(range(len(jobs)))


def performed(jobs: Schedule, workers: int, random: object) -> list[int]:
    """The jobs in the order in which they ended, any running one next."""
    running: set[int] = set()
    ended: list[int] = []
    while len(ended) < len(jobs):
        while len(running) < workers:
            number = following(jobs, {*running, *ended}, ended)
            if number is None:
                break
            assert set(jobs[number].needs) <= set(ended)
            running.add(number)
        assert running, "no job can begin"
        number = random.choice(sorted(running))  # type: ignore[attr-defined]
        running.remove(number)
        ended.append(number)
    return ended


def test_the_job_for_which_most_images_wait_begins_first() -> None:
    jobs = (Job(0, None), Job(1, 3, below=2), Job(1, None, (1,)), Job(2, None, (1,)))
    assert following(jobs, (), ()) == 1
    assert following(jobs, {1}, ()) == 0
    assert following(jobs, {0, 1}, {0}) is None
