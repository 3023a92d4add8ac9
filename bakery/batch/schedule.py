"""Which checkpoints several images share, and in which order everything is made. Pure functions.

The ids of steps are chained, so plans form a tree: below a base, images with the same first steps share a
branch. Where branches part, a job of its own makes a checkpoint of what is shared, once, before the images:

    base ── base, condor ──┬── osg_worker, seal                       image 1
            (checkpoint)   └── udocker ──────┬── osg_worker, seal     image 2
                               (checkpoint)  └── prominence_worker …  image 3

A checkpoint is made at the end of a role. If everything since the checkpoint before takes less time than a
copy of the disk, none is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from provisioner.actions import Run
from provisioner.plan import Plan, PlannedStep

BASE = 0  # the number of steps of a job that provides the base
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
    """One thing to make: the checkpoint after `steps` steps (BASE: the base), or the image (None).

    `image` is its number; a checkpoint belongs to one of the images that share it. `needs` are numbers of
    jobs earlier in the schedule. `below` counts the images that wait for this job.
    """

    image: int
    steps: int | None
    needs: tuple[int, ...] = ()
    below: int = 0


Schedule = tuple[Job, ...]


def schedule(wanted: Sequence[Wanted], stored: Collection[str]) -> Schedule:
    """The jobs that make these images, each after those that it needs.

    `stored` are the ids of the bases and checkpoints that the store has.
    """
    jobs: list[Job] = []
    made: dict[str, int] = {}  # numbers of jobs by the id of their checkpoint
    for image, steps in _branches(wanted, stored):
        plan = wanted[image].plan
        start, before = _start(plan, stored), _latest(plan, steps, made)
        done = max([start, *(jobs[number].steps or BASE for number in before)])
        if steps == BASE or _takes_time(plan.steps[max(done, BASE) : steps]) or done == _NO_BASE:
            made[plan.id_after(steps)] = len(jobs)
            jobs.append(Job(image, steps, before))
    first: dict[str, int] = {}  # numbers of jobs by the name of their image
    for image, this in enumerate(wanted):
        end = len(this.plan.steps) if this.checkpoints else 1
        needs = () if this.stored else _latest(this.plan, end, made)
        jobs.append(Job(image, None, (*needs, *((first[this.name],) if this.name in first else ()))))
        first.setdefault(this.name, len(jobs) - 1)
    return _counted(jobs)


def following(jobs: Schedule, begun: Collection[int], ended: Collection[int]) -> int | None:
    """The number of the job to begin now, that for which most images wait; None if there is none."""
    ready = (
        number
        for number, job in enumerate(jobs)
        if number not in begun and all(needed in ended for needed in job.needs)
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


def _latest(plan: Plan, end: int, made: Mapping[str, int]) -> tuple[int, ...]:
    """The number of the job with the latest checkpoint before `end`, or nothing."""
    found = (made[plan.id_after(n)] for n in reversed(range(end)) if plan.id_after(n) in made)
    return tuple(found)[:1]


def _takes_time(steps: Sequence[PlannedStep]) -> bool:
    actions = (action for step in steps for action in step.actions)
    return any(isinstance(action, Run) and action.argv[0] not in _QUICK for action in actions)


def _counted(jobs: Sequence[Job]) -> Schedule:
    """The jobs with the numbers of images that wait for them."""
    below = [0] * len(jobs)
    for number, job in reversed([*enumerate(jobs)]):
        for needed in job.needs:
            below[needed] += below[number] + (job.steps is None)
    return tuple(replace(job, below=count) for job, count in zip(jobs, below, strict=True))
