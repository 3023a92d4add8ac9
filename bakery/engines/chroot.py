"""The quick engine: a copy of the base, mounted and changed in place, no machine booted. Needs root."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from bakery import mirror, qemu, rooms
from bakery.engines import checkpoints
from bakery.locks import alone
from bakery.recipe import OPTIONAL
from bakery.store import Store
from provisioner import plan as plans
from provisioner.checkpoints import Wanted, is_worth_keeping
from provisioner.monitor import Monitor, note, phase
from provisioner.plan import Plan

TOOLS = ("qemu-img", "mount", "unshare", "setpriv", "chroot", "sfdisk", "fstrim", "blkid")


@dataclass(frozen=True)
class Repositories:
    """Where packages come from; the texts are deb822 as in sources.list.d, and nothing enters an id."""

    release: str
    distribution: str
    more: str = ""  # seen by optional roles alone, so that no checkpoint of another image is made of them
    urls: Mapping[str, str] = field(default_factory=dict)  # by the ids of repositories, instead of theirs

    def of(self, role: str) -> str:
        """All that this role sees beside what the machine itself defines."""
        return "\n".join(filter(None, (self.distribution, self.more_of(role))))

    def more_of(self, role: str) -> str:
        return self.more if role in OPTIONAL else ""


def bake(
    plan: Plan,
    store: Store,
    repositories: Repositories,
    work: Path,
    monitor: Monitor,
    keep: Wanted = "auto",
) -> Path:
    """The finished, sealed raw disk in `work`. The base must be in the store, and stay there."""
    disk, release = work / "disk.raw", repositories.release
    (work / "apt.sources").write_text(repositories.distribution)
    (work / "apt.preferences").write_text(mirror.preferences(release))
    packages = store.packages(release)
    packages.mkdir(parents=True, exist_ok=True)
    # apt allows one writer. Who waited starts from the checkpoints that the other made meanwhile.
    with alone(packages, lambda: note(monitor, f"Another bake installs packages of {release}; waiting.")):
        os.utime(packages)
        started = time.monotonic()
        done = _copy_nearest(plan, store, disk, monitor)
        copying = time.monotonic() - started
        _apply_from(done, copying, keep, plan, store, repositories, work, monitor)
    return disk


def _copy_nearest(plan: Plan, store: Store, disk: Path, monitor: Monitor) -> int:
    """Make the disk to work on; the number of steps it has behind it."""
    with checkpoints.nearest(plan, store, monitor) as (done, start):
        with phase(monitor, "copy the base" if not done else "copy the checkpoint"):
            qemu.to_raw(start, disk)
        return done


def _apply_from(
    done: int,
    copying: float,
    wanted: Wanted,
    plan: Plan,
    store: Store,
    repositories: Repositories,
    work: Path,
    monitor: Monitor,
) -> None:
    """The roles that are not done, with a checkpoint where it pays.

    How long one takes to write is first guessed from `copying`, a disk's copy in seconds, then known.
    """
    writing, since = copying, time.monotonic()
    for first, last in pairwise([done, *(end for end in plan.role_ends() if end > done)]):
        (work / "more.sources").write_text(repositories.more_of(plan.steps[first].role))
        _apply(plan, first, last, repositories.urls, work, store.packages(repositories.release), monitor)
        finished = time.monotonic()
        if last < len(plan.steps) and is_worth_keeping(wanted, finished - since, writing):
            checkpoints.keep(work / "disk.raw", plan, last, store, work, monitor)
            since = time.monotonic()
            writing = since - finished


def _apply(
    plan: Plan,
    first: int,
    last: int,
    urls: Mapping[str, str],
    work: Path,
    packages: Path,
    monitor: Monitor,
) -> None:
    command = [
        # -P: nothing of the folder the user happens to be in is imported, least of all as root.
        *(sys.executable, "-P", "-m", "provisioner", "apply"),
        *("--disk", str(work / "disk.raw")),
        *("--from", str(first), "--to", str(last)),
        *("--sources", str(work / "apt.sources"), "--more-sources", str(work / "more.sources")),
        *("--preferences", str(work / "apt.preferences"), "--package-cache", str(packages)),
        *(f"--repository-url={name}={url}" for name, url in urls.items()),
    ]
    rooms.relay(command, json.dumps(plans.to_json(plan)).encode(), monitor)
