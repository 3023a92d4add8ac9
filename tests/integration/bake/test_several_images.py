"""Several images at once: what they share is made once, and each is as if it had been baked alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.store.store import Store
from provisioner.events import Event
from tests.conftest import BIN, command
from tests.integration.bake.test_kill import nothing_stays, session_of

# The definition files of the images.
IMAGES = {
    "osg": 'worker = "osg"',
    "osg-udocker": "[roles.udocker]",
    "prominence": 'worker = "prominence"',
    "prominence-udocker": 'worker = "prominence"\n[roles.udocker]',
}
# Two of these images, of two and of one shared checkpoint, by the options of a single bake. Without the key
# `name`, the plans are the same.
ALONE: Mapping[str, Sequence[str]] = {
    "osg-udocker": ("--with", "udocker"),
    "prominence": ("--worker", "prominence"),
}
NOBODY = "Types: deb\nURIs: http://127.0.0.1:9/nobody\nSuites: ./\n"
LONGEST = 900.0  # seconds that any wait may take, on a busy machine


@dataclass(frozen=True)
class Batch:
    """A batch that has ended; `out` is what it printed, `events` are empty without --json."""

    status: int
    out: str
    err: str

    @property
    def events(self) -> list[Event]:
        return [json.loads(row) for row in self.err.splitlines()]

    @property
    def images(self) -> dict[str, dict[str, Any]]:
        return {image["label"]: image for image in json.loads(self.out)["images"]}

    def labels_of(self, phase: str) -> list[str]:
        """The labels of the images and checkpoints in which this phase has ended."""
        ends = (event for event in self.events if event["event"] == "end")
        return [event["label"] for event in ends if event["name"].startswith(phase)]


def argv(folder: Path, images: Mapping[str, str], *options: str) -> list[str]:
    """The command for these images, each with a definition file in `folder`."""
    paths = [folder / f"{label}.toml" for label in images]
    for path, text in zip(paths, images.values(), strict=True):
        path.write_text(f"{text}\n")
    return ["bake", "--verify", "offline", "--engine", "chroot", *options, *map(str, paths)]


def batch(store: Store, folder: Path, images: Mapping[str, str], *options: str) -> Batch:
    env = {"WORKER_BAKERY_CACHE": str(store.root)}
    done = command("worker-bakery", *argv(folder, images, *options), env=env)
    return Batch(done.status, done.out, done.err)


def alone(words: Sequence[str]) -> str:
    """The path of the image baked by itself, in the cache that tests share."""
    done = command("bake-image", "--verify", "none", *words, "--json")
    assert done.status == 0, done.err[-3000:]
    return str(json.loads(done.out)["path"])


def most_at_once(events: list[Event]) -> int:
    """The largest number of images and checkpoints that were being made at one time."""
    running: set[str] = set()
    most = 0
    for event in events:
        if event["event"] == "finished":
            running.discard(event["label"])
        else:
            running.add(event["label"])
        most = max(most, len(running))
    return most


# Minutes: in each run, the tests below begin, end and continue batches.
@pytest.mark.full
def test_four_images_and_a_broken_one(private_store: Store, tmp_path: Path) -> None:
    (tmp_path / "nobody.sources").write_text(NOBODY)
    broken = 'apt-sources = ["nobody.sources"]\n[roles.apptainer]'
    done = batch(private_store, tmp_path, {"broken": broken, **IMAGES}, "--jobs", "2", "--json")
    assert done.status == 5, done.err[-3000:]
    check_shared_once(done)
    images = done.images
    assert list(images) == ["broken", *IMAGES]
    error = images.pop("broken")["error"]
    assert (error["class"], error["exit_code"]) == ("Unreachable", 5)
    assert "127.0.0.1" in error["message"]
    assert {(image["from_store"], *image["proof"]) for image in images.values()} == {(False, "offline")}
    check_nothing_is_left(private_store)
    check_a_second_batch_finds_all(private_store, tmp_path)
    for label, words in ALONE.items():
        same = command("worker-bakery", "diff", images[label]["path"], alone(words))
        assert same.status == 0, (label, same.out)


def check_shared_once(done: Batch) -> None:
    """By the first image that needs it, also if that one fails later."""
    for phase in ("base: upgrade packages", "condor: install condor", "write a checkpoint after condor"):
        assert done.labels_of(phase) == ["broken"]
    assert done.labels_of("udocker: install") == ["osg-udocker"] * 2
    assert done.labels_of("write a checkpoint after udocker") == ["osg-udocker"]
    assert sorted(done.labels_of("compress the image")) == sorted(IMAGES)
    assert most_at_once(done.events) == 2


def check_nothing_is_left(store: Store) -> None:
    nothing_stays(store.root)
    assert list((store.root / "work").iterdir()) == list((store.root / "locks").iterdir()) == []


def check_a_second_batch_finds_all(store: Store, folder: Path) -> None:
    done = batch(store, folder, IMAGES, "--jobs", "2")
    assert done.status == 0, done.err
    header, *rows = done.out.splitlines()
    assert header.split() == ["image", "result", "seconds", "proven", "path"]
    assert [row.split()[0] for row in rows] == list(IMAGES)
    assert all("from the cache" in row and row.endswith(".qcow2") for row in rows)
    *shown, last = done.err.splitlines()
    assert all(any(f"] {label}: " in row for label in IMAGES) for row in shown)
    assert last.startswith("Next: worker-bakery verify ")


def test_images_that_cannot_make_what_they_share_fail_with_their_own_errors(
    private_store: Store, tmp_path: Path
) -> None:
    """The mirror does not answer: when the first image has failed, the second one tries."""
    images = {label: IMAGES[label] for label in ("osg", "prominence")}
    silent = ("--mirror", "http://127.0.0.1:9/debian")
    done = batch(private_store, tmp_path, images, "--jobs", "2", *silent)
    assert done.status == 5, done.err
    assert done.out.count("failed") == 2
    assert done.err.count("failed after") == 2
    for label in images:
        assert f"error: {label}: A package mirror did not respond" in done.err
    check_nothing_is_left(private_store)


def start(store: Store, folder: Path) -> subprocess.Popen[str]:
    """A batch in a session of its own, of which two jobs are at work."""
    process = subprocess.Popen(
        [str(BIN / "worker-bakery"), *argv(folder, IMAGES, "--jobs", "2", "--json")],
        env={**os.environ, "WORKER_BAKERY_CACHE": str(store.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr
    at_work: set[str] = set()
    for row in process.stderr:
        event = json.loads(row)
        if event["event"] == "begin":
            at_work.add(event["label"])
        if {"osg", "osg-udocker"} <= at_work:
            return process
    pytest.fail("two jobs never were at work")


def interrupted(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LONGEST)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert json.loads(err.splitlines()[-1])["message"] == "Interrupted."


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=LONGEST)


def test_all_jobs_end_with_the_command(private_store: Store, tmp_path: Path) -> None:
    """The second batch starts from the checkpoint of the first; the last one removes what was left."""
    for end in (interrupted, killed):
        process = start(private_store, tmp_path)
        end(process)
        nothing_stays(private_store.root)
        check_session_is_empty(process.pid)
        assert not list((private_store.root / "images").glob("*"))
        if end is interrupted:
            check_nothing_is_left(private_store)
    done = batch(private_store, tmp_path, {"osg-udocker": IMAGES["osg-udocker"]})
    assert done.status == 0, done.err
    assert list((private_store.root / "work").iterdir()) == []


def check_session_is_empty(leader: int) -> None:
    limit = time.monotonic() + 60  # the kernel ends the processes one after the other
    while session_of(leader):
        assert time.monotonic() < limit, session_of(leader)
        time.sleep(0.1)
