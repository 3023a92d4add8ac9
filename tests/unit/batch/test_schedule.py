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
    shared, deeper = OSG.id_after(condor), OSG_UDOCKER.id_after(udocker)
    assert made == (
        Job((condor,), below=3),
        Job((udocker,), shared, 0, below=1),
        Job((), shared, 0),
        Job((), deeper, 1),
    )


def test_a_checkpoint_in_the_store_is_not_made_again() -> None:
    condor = OSG.id_after(after(OSG, "condor"))
    assert schedule(wanted(OSG, PROMINENCE), {DEBIAN.id, condor}) == (Job(), Job())


def test_images_in_the_store_need_nothing() -> None:
    stored = [Wanted(OSG, OSG.image, stored=True), Wanted(PROMINENCE, PROMINENCE.image, stored=True)]
    assert schedule(stored, set()) == (Job(), Job())
    assert schedule([stored[0], *wanted(PROMINENCE)], set()) == (Job(), Job())


def test_without_checkpoints_only_the_base_is_shared() -> None:
    alone = [Wanted(plan, plan.image, checkpoints=False) for plan in (OSG, PROMINENCE)]
    assert schedule(alone, set()) == (Job((BASE,), below=1), Job((), DEBIAN.id, 0))
    assert schedule(alone, {DEBIAN.id}) == (Job(), Job())


def test_an_image_that_is_wanted_twice_is_made_by_the_first() -> None:
    assert schedule(wanted(OSG, OSG), {DEBIAN.id}) == (Job(below=1), Job(maker=0))


def test_images_of_different_bases_share_nothing() -> None:
    other = recipe.plan(bases.find("almalinux9"), "osg")
    assert schedule(wanted(OSG, other), set()) == (Job(), Job())


QUICK, SLOW = Run(("systemctl", "enable", "a.service")), Run(("apt-get", "install", "a"))


@pytest.mark.parametrize(
    ("shared", "count"), [((SLOW,), 1), ((QUICK,), 0), ((Put("/a", b"", 0o644),), 0), ((QUICK, SLOW), 1)]
)
def test_steps_that_take_no_time_are_not_worth_a_checkpoint(shared: tuple[Action, ...], count: int) -> None:
    one, other = (plan_of("b", [("first", shared), (name, (SLOW,))]) for name in ("one", "other"))
    other = plan_of("b", [("first", shared), ("other", (SLOW, SLOW))])
    made = schedule(wanted(one, other), {"b"})
    assert sum(len(job.keeps) for job in made) == count


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
def test_every_checkpoint_is_made_exactly_once_and_by_another_job(
    batch: tuple[list[Wanted], set[str]],
) -> None:
    images, stored = batch
    jobs = schedule(images, stored)
    assert len(jobs) == len(images)
    ids = [image.plan.id_after(n) for image, job in zip(images, jobs, strict=True) for n in job.keeps]
    assert len(ids) == len(set(ids))
    assert not set(ids) & stored
    for number, job in enumerate(jobs):
        assert job.maker != number
        if job.waits_for and job.maker is not None:
            maker = images[job.maker].plan
            assert job.waits_for in {maker.id_after(n) for n in jobs[job.maker].keeps}


@given(batches())
def test_no_step_that_takes_time_is_applied_twice(batch: tuple[list[Wanted], set[str]]) -> None:
    """Of images that use checkpoints: each starts from the latest checkpoint of the store or of a job."""
    images, stored = batch
    done = set(stored)
    applied: list[str] = []
    names: set[str] = set()
    for this, job in zip(images, schedule(images, stored), strict=True):
        is_first = this.stored or this.name not in names
        names |= set() if this.stored else {this.name}
        if this.stored or not is_first or not this.checkpoints:
            continue
        end = len(this.plan.steps)
        start = max((n for n in range(end) if this.plan.id_after(n) in done), default=0)
        # Where another image ends a role, this one may be within one, and cannot start there.
        applied += [this.plan.id_after(n) for n in this.plan.role_ends() if n > start]
        done |= {this.plan.id_after(n) for n in job.keeps}
    twice = {one for one in applied if applied.count(one) > 1}
    assert not {one for one in twice if shared_by_role(one, images)}


def shared_by_role(step: str, images: Sequence[Wanted]) -> bool:
    """Whether this end of a role is one of at least two pending images, in each followed by other steps."""
    first = {image.name: image for image in reversed(images) if not image.stored}  # which makes the file
    pending = [image.plan for image in first.values() if image.checkpoints]
    plans = [plan for plan in pending if step in {plan.id_after(n) for n in plan.role_ends()}]
    return len(plans) > 1 and all(plan.steps[-1].id != step for plan in plans)


@given(batches(), st.integers(1, 4), st.booleans(), st.randoms())
def test_workers_perform_every_job_once_and_none_before_what_it_waits_for(
    batch: tuple[list[Wanted], set[str]], workers: int, makes: bool, random: object
) -> None:
    images, stored = batch
    jobs = schedule(images, stored)
    order = performed(images, jobs, workers, makes, random)
    assert sorted(order) == list(range(len(jobs)))


def performed(
    images: Sequence[Wanted], jobs: Schedule, workers: int, makes: bool, random: object
) -> list[int]:
    """The jobs in the order of their ends, any running one next; if not `makes`, they make nothing."""
    running: set[int] = set()
    ended: list[int] = []
    made: set[str] = set()
    while len(ended) < len(jobs):
        while len(running) < workers:
            number = following(jobs, {*running, *ended}, ended, made)
            if number is None:
                break
            job = jobs[number]
            assert job.maker is None or job.maker in ended or job.waits_for in made
            running.add(number)
            if makes:
                made |= {images[number].plan.id_after(n) for n in job.keeps}
        assert running, "no job can begin"
        number = random.choice(sorted(running))  # type: ignore[attr-defined]
        running.remove(number)
        ended.append(number)
    return ended


def test_the_job_for_which_most_images_wait_begins_first() -> None:
    jobs = (Job(), Job((3,), below=2), Job((), "c", 1), Job((), "c", 1))
    assert following(jobs, (), (), ()) == 1
    assert following(jobs, {1}, (), ()) == 0
    assert following(jobs, {0, 1}, {0}, ()) is None
    assert following(jobs, {0, 1}, {0}, {"c"}) == 2  # its maker still bakes
    assert following(jobs, {0, 1}, {1}, ()) == 2  # its maker has failed
