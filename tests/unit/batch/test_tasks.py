"""From (label, options) to the tasks of jobs, and what is refused before any job starts."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from bakery.bake.options import Options
from bakery.bake.planned import plan_bake
from bakery.batch import run
from bakery.batch.run import bake_all
from bakery.batch.schedule import BASE, Job, schedule
from bakery.batch.task import Task
from bakery.image import repositories
from bakery.store.store import Store
from provisioner.errors import BadInput
from provisioner.events import Event, Silent
from provisioner.roles.customization import Customization, SiteFile

OSG, PROMINENCE = Options(), Options(kind="prominence")


class Kept(list[Event]):
    def emit(self, event: Event) -> None:
        self.append(event)


@pytest.mark.parametrize(
    ("items", "jobs", "says"),
    [
        ([("osg", OSG)], 0, "must be at least 1"),
        ([("osg", OSG)], -1, "must be at least 1"),
        ([], 1, "no image"),
        ([("osg", OSG), ("osg", PROMINENCE)], 1, "Two images are named osg"),
        (
            [("a", replace(OSG, output=Path("x"))), ("b", replace(OSG, output=Path.cwd() / "x"))],
            1,
            "written",
        ),
    ],
)
def test_what_cannot_be_a_batch_is_refused(items: run.Items, jobs: int, says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=says):
        bake_all(items, jobs, Store(tmp_path), Silent())


def test_an_image_that_cannot_be_planned_is_a_result(tmp_path: Path) -> None:
    """It does not stop the others; here all are of this sort, so that no process starts."""
    kept = Kept()
    wrong = replace(OSG, base="debain13"), replace(OSG, optional=("nothing",))
    one, other = bake_all([("one", wrong[0]), ("other", wrong[1])], 2, Store(tmp_path), kept)
    assert (one.label, one.path, other.label) == ("one", None, "other")
    assert isinstance(one.error, BadInput) and isinstance(other.error, BadInput)
    assert [(event["event"], event["label"]) for event in kept] == [
        ("finished", "one"),
        ("finished", "other"),
    ]


def batch(tmp_path: Path, *options: Options) -> run._Batch:
    store = Store(tmp_path)
    bakes = [plan_bake(one, store, Silent()) for one in options]
    labels = [f"image {number}" for number in range(len(bakes))]
    made = schedule([run._wanted(this) for this in bakes], run._stored_ids(bakes, store))
    return run._Batch(labels, bakes, made, store.root)


def test_the_first_image_keeps_what_the_other_waits_for(tmp_path: Path) -> None:
    made = batch(tmp_path, OSG, PROMINENCE)
    first, second = (made.task(number, job).options for number, job in enumerate(made.schedule))
    [steps] = first.awaited
    assert (first.just_made, second.awaited) == ("", ())
    assert second.just_made == made.bakes[1].plan.id_after(steps)
    alone = batch(tmp_path, *(replace(one, checkpoints="none") for one in (OSG, PROMINENCE)))
    assert alone.schedule[0].keeps == (BASE,)


def test_a_base_is_rebuilt_by_the_first_job_and_the_images_are_baked_again(tmp_path: Path) -> None:
    made = batch(tmp_path, *(replace(one, rebuild_base=True) for one in (OSG, PROMINENCE)))
    options = [made.task(number, job).options for number, job in enumerate(made.schedule)]
    assert [(one.rebuild_base, one.rebuild_image) for one in options] == [(True, False), (False, True)]
    assert batch(tmp_path, replace(OSG, rebuild_base=True)).schedule == (Job(),)


def test_a_task_reaches_its_process_as_it_is() -> None:
    replaced = repositories.parse_options(["htcondor=http://mirror.example/condor"], [], keep=False)
    site = Customization(packages=("tmux",), files=(SiteFile("/etc/a", b"\0", 0o600),))
    task = Task(replace(OSG, output=Path("x"), replaced=replaced, customization=site), Path("/cache"))
    assert pickle.loads(pickle.dumps(task)) == task
