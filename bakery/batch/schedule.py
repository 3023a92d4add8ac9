"""Which checkpoints several images share, and in which order the images are made. Pure functions.

The ids of steps are chained, so plans form a tree: below a base, images with the same first steps share a
branch. Where branches part, the first of the images makes a checkpoint of what is shared, once, on its way;
the others begin when that checkpoint is in the store:

    base ── base, condor ──┬── osg_worker, seal                       image 1, makes checkpoint A
            (A)            └── udocker ──────┬── osg_worker, seal     image 2, waits for A, makes B
                               (B)           └── prominence_worker …  image 3, waits for B

A checkpoint is made at the end of a role. If everything since the checkpoint before takes less time than a
copy of the disk, none is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from provisioner.actions import Run
from provisioner.plan import Plan, PlannedStep

BASE = 0  # the number of steps of the base
_NO_BASE = -1  # the store does not even have the base
# Programs of our steps that take less than a second. Any other program may take longer.
_QUICK = frozenset({"systemctl", "install"})


@dataclass(frozen=True)
class Wanted:
    """An image to bake. Images with the same `name` are the same file.

    `stored`: the store has it; it needs neither a base nor checkpoints. `checkpoints`: whether it can use
    any (not with --checkpoints none).
    """

    plan: Plan
    name: str
    stored: bool = False
    checkpoints: bool = True


@dataclass(frozen=True)
class Job:
    """The job of one image.

    `keeps` are numbers of steps after which it makes a checkpoint that others wait for; BASE: they wait for
    the base. `waits_for` is the id of the checkpoint or base without which it does not begin, `maker` the
    number of the job that makes it; a job with a maker and no id waits for the end of that job, whose image
    it wants, too. `below` counts the jobs that wait for this one.
    """

    keeps: tuple[int, ...] = ()
    waits_for: str = ""
    maker: int | None = None
    below: int = 0


Schedule = tuple[Job, ...]


def schedule(wanted: Sequence[Wanted], stored: Collection[str]) -> Schedule:
    """The jobs that make these images, in their order.

    `stored` are the ids of the bases and checkpoints that the store has.
    """
    makers: dict[str, int] = {}  # numbers of jobs by the ids that they make
    keeps: list[list[int]] = [[] for _ in wanted]
    for image, steps in _branches(wanted, stored):
        plan = wanted[image].plan
        done = max([_start(plan, stored), *keeps[image], *_steps_of(makers, plan, steps)])
        if steps == BASE or _takes_time(plan.steps[max(done, BASE) : steps]) or done == _NO_BASE:
            makers[plan.id_after(steps)] = image
            keeps[image].append(steps)
    first: dict[str, int] = {}  # numbers of jobs by the name of their image
    jobs = []
    for image, this in enumerate(wanted):
        jobs.append(_job(image, this, tuple(keeps[image]), makers, first))
        if not this.stored:
            first.setdefault(this.name, image)
    return _counted(jobs)


def _job(
    image: int, this: Wanted, keeps: tuple[int, ...], makers: Mapping[str, int], first: Mapping[str, int]
) -> Job:
    if this.stored:
        return Job()
    if this.name in first:
        return Job(maker=first[this.name])
    # What a job makes itself must be deeper than what it waits for; so no two jobs wait for each other.
    end = min(keeps, default=len(this.plan.steps) if this.checkpoints else 1)
    others = [n for n in _steps_of(makers, this.plan, end) if makers[this.plan.id_after(n)] != image]
    if not others:
        return Job(keeps)
    waits_for = this.plan.id_after(max(others))
    return Job(keeps, waits_for, makers[waits_for])


def following(
    jobs: Schedule, begun: Collection[int], ended: Collection[int], made: Collection[str]
) -> int | None:
    """The number of the job to begin now, that for which most images wait; None if there is none.

    `made` are the ids of the checkpoints and bases that jobs have made by now. If a maker has ended without
    making what another job waits for, that job begins, and makes it itself.
    """
    ready = (
        number
        for number, job in enumerate(jobs)
        if number not in begun and (job.maker is None or job.maker in ended or job.waits_for in made)
    )
    return max(ready, key=lambda number: (jobs[number].below, -number), default=None)


def _branches(wanted: Sequence[Wanted], stored: Collection[str]) -> Iterator[tuple[int, int]]:
    """Yield an image and the number of steps of each checkpoint that images share; the shortest first."""
    pending = {this.name: number for number, this in reversed([*enumerate(wanted)]) if not this.stored}
    found: dict[str, tuple[int, int]] = {}
    for one, other in combinations(sorted(pending.values()), 2):
        steps = _common_steps(wanted[one], wanted[other])
        starts = (_start(wanted[number].plan, stored) for number in (one, other))
        if steps is not None and max(starts) < steps:
            found.setdefault(wanted[one].plan.id_after(steps), (one, steps))
    yield from sorted(found.values(), key=lambda branch: (branch[1], branch[0]))


def _common_steps(one: Wanted, other: Wanted) -> int | None:
    """The steps up to the last end of a role that both share; BASE for the base alone, None for nothing."""
    if one.plan.base_id != other.plan.base_id:
        return None
    if not (one.checkpoints and other.checkpoints):
        return BASE
    others = {other.plan.id_after(end) for end in other.plan.role_ends()}
    ends = (end for end in one.plan.role_ends() if one.plan.id_after(end) in others)
    return max((end for end in ends if end < len(one.plan.steps)), default=BASE)


def _start(plan: Plan, stored: Collection[str]) -> int:
    """The steps of the latest checkpoint in the store; BASE without one, _NO_BASE without a base."""
    if plan.base_id not in stored:
        return _NO_BASE
    return max((n for n in range(1, len(plan.steps)) if plan.id_after(n) in stored), default=BASE)


def _steps_of(makers: Mapping[str, int], plan: Plan, end: int) -> list[int]:
    """The numbers of steps before `end` after which a job makes a checkpoint, or the base."""
    return [n for n in range(end) if plan.id_after(n) in makers]


def _takes_time(steps: Sequence[PlannedStep]) -> bool:
    actions = (action for step in steps for action in step.actions)
    return any(isinstance(action, Run) and action.argv[0] not in _QUICK for action in actions)


def _counted(jobs: Sequence[Job]) -> Schedule:
    """The jobs with the numbers of jobs that wait for them, directly or not."""
    below = [0] * len(jobs)
    for job in jobs:
        maker = job.maker
        while maker is not None:  # there is no circle: each maker waits for something less deep
            below[maker] += 1
            maker = jobs[maker].maker
    return tuple(replace(job, below=count) for job, count in zip(jobs, below, strict=True))
