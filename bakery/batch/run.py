"""Bake several images, some at once; make what they share once.

Each image is a job (bakery/batch/schedule.py) in a process of its own (bakery/batch/workers.py), with its
verification. The first image that needs a shared checkpoint makes it on its way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from bakery.bake.options import Options
from bakery.bake.planned import Bake, plan_bake
from bakery.batch import schedule as schedules
from bakery.batch.outcome import Outcome
from bakery.batch.schedule import Job, Schedule, Wanted
from bakery.batch.task import Task
from bakery.batch.workers import Ended, perform_all
from bakery.store.store import Store, is_intact, read_manifest
from provisioner.errors import BadInput, BakeryError
from provisioner.events import Monitor

_T = TypeVar("_T")
Items = Sequence[tuple[str, Options]]


@dataclass(frozen=True)
class _Batch:
    """The images that have a plan, their labels, and the schedule of their jobs."""

    labels: Sequence[str]
    bakes: Sequence[Bake]
    schedule: Schedule
    root: Path  # of the store

    def task(self, number: int, job: Job) -> Task:
        options = self.bakes[number].options
        if options.rebuild_base and job.waits_for:
            # The job that this one waits for has built the base.
            options = replace(options, rebuild_base=False, rebuild_image=True)
        return Task(replace(options, awaited=job.keeps, just_made=job.waits_for), self.root)


def bake_all(items: Items, jobs: int, store: Store, monitor: Monitor) -> tuple[Outcome, ...]:
    """Bake the images of (label, options), at most `jobs` at once; return what became of each, in order.

    An image that fails, also for bad input, does not stop the others. Events have the label of their image.
    Raises BadInput: there is nothing to bake, `jobs` is not positive, or two images have one label or one
    output; Interrupted: all jobs have ended, and what they had finished is in the store.
    """
    _check(items, jobs)
    refused: dict[str, Outcome] = {}
    planned: dict[str, Bake] = {}
    for label, options in items:
        try:
            planned[label] = plan_bake(options, store, monitor)
        except BakeryError as error:
            refused[label] = Outcome(label, 0.0, error=error)
            monitor.emit({"event": "finished", "label": label, "seconds": 0.0, "error": error.message})
    made = _perform(planned, jobs, store, monitor)
    return tuple(refused.get(label) or made[label] for label, _ in items)


def _check(items: Items, jobs: int) -> None:
    if jobs < 1:
        raise BadInput(f"The number of jobs is {jobs}, but must be at least 1.")
    if not items:
        raise BadInput("There is no image to bake.")
    for label in _repeated([label for label, _ in items]):
        raise BadInput(f"Two images are named {label}.", "Give each image a name of its own.")
    for path in _repeated([options.output.absolute() for _, options in items if options.output]):
        raise BadInput(f"Two images would be written to {path}.", "Give each image a path of its own.")


def _repeated(values: Sequence[_T]) -> list[_T]:
    return [value for value, count in Counter(values).items() if count > 1]


def _perform(planned: Mapping[str, Bake], jobs: int, store: Store, monitor: Monitor) -> dict[str, Outcome]:
    labels, bakes = tuple(planned), tuple(planned.values())
    wanted = [_wanted(this) for this in bakes]
    schedule = schedules.schedule(wanted, _stored_ids(bakes, store))
    batch = _Batch(labels, bakes, schedule, store.root)
    tasks = [batch.task(number, job) for number, job in enumerate(schedule)]
    ended = perform_all(schedule, tasks, labels, jobs, monitor)
    return {label: _outcome(label, how) for label, how in zip(labels, ended, strict=True)}


def _wanted(this: Bake) -> Wanted:
    baked_again = this.rebuilds or this.options.refresh == "always"
    stored = not baked_again and read_manifest(this.stored) is not None and is_intact(this.stored)
    return Wanted(this.plan, this.stored.name, stored, this.options.checkpoints != "none")


def _stored_ids(bakes: Collection[Bake], store: Store) -> set[str]:
    """The ids of the intact bases and checkpoints in the store, without bases to build again."""
    rebuilt = {this.plan.base_id for this in bakes if this.options.rebuild_base}
    kept = (this for this in bakes if this.plan.base_id not in rebuilt)
    return {disk.stem for this in kept for disk in _disks(this, store) if is_intact(disk)}


def _disks(this: Bake, store: Store) -> Iterator[Path]:
    yield store.base(this.plan.base_id)
    yield from (disk for _, disk in store.checkpoints_of(this.plan))


def _outcome(label: str, how: Ended) -> Outcome:
    if how.error:
        return Outcome(label, how.seconds, error=how.error)
    path, manifest = Path(how.result["path"]), how.result["manifest"]
    return Outcome(label, how.seconds, path, how.result["from_store"], manifest)
