"""The quick engine: a copy of the base, mounted and changed in place, no machine booted. Needs root."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bakery.engines import checkpoints
from bakery.image.recipe import OPTIONAL
from bakery.runtime import mirror, qemu_img, sandbox
from bakery.store.locks import alone
from bakery.store.store import Store
from provisioner import plan as plans
from provisioner.checkpoints import Policy
from provisioner.events import Monitor, note, phase
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


@dataclass(frozen=True)
class _Bake:
    """What the sandboxes of one bake share. Its disk is `work`/disk.raw."""

    plan: Plan
    store: Store
    repositories: Repositories
    work: Path
    monitor: Monitor

    @property
    def disk(self) -> Path:
        return self.work / "disk.raw"

    @property
    def packages(self) -> Path:
        return self.store.packages(self.repositories.release)

    def more_at(self, step: int) -> str:
        """The package sources that only the step's role sees."""
        return self.repositories.more_of(self.plan.steps[step].role)


def bake(
    plan: Plan,
    store: Store,
    repositories: Repositories,
    work: Path,
    monitor: Monitor,
    keep: Policy = "auto",
) -> Path:
    """The finished, sealed raw disk in `work`. The base must be in the store, and stay there."""
    this, release = _Bake(plan, store, repositories, work, monitor), repositories.release
    (work / "apt.sources").write_text(repositories.distribution)
    (work / "apt.preferences").write_text(mirror.preferences(release))
    this.packages.mkdir(parents=True, exist_ok=True)
    # apt allows one writer. Who waited starts from the checkpoints that the other made meanwhile.
    with alone(
        this.packages, lambda: note(monitor, f"Another bake installs packages of {release}; waiting.")
    ):
        os.utime(this.packages)
        started = time.monotonic()
        done = _copy_nearest(this)
        _apply_from(done, time.monotonic() - started, keep, this)
    return this.disk


def _copy_nearest(this: _Bake) -> int:
    """Make the disk to work on; the number of steps it has behind it."""
    with checkpoints.nearest(this.plan, this.store, this.monitor) as (done, start):
        with phase(this.monitor, "copy the base" if not done else "copy the checkpoint"):
            qemu_img.to_raw(start, this.disk)
        return done


def _apply_from(done: int, copying: float, keep: Policy, this: _Bake) -> None:
    """The steps that are not done, with checkpoints where they pay.

    How long one takes to write is first guessed from `copying`, a disk's copy in seconds, then known.
    """
    writing = copying
    while done < len(this.plan.steps):
        done, is_worth_keeping = _apply(done, _sandbox_end(done, this), keep, writing, this)
        if is_worth_keeping:
            started = time.monotonic()
            checkpoints.keep(this.disk, this.plan, done, this.store, this.work, this.monitor)
            writing = time.monotonic() - started


def _sandbox_end(done: int, this: _Bake) -> int:
    """How far one sandbox goes at most: to where roles that see more package sources begin or end."""
    total = len(this.plan.steps)
    return next((end for end in range(done, total) if this.more_at(end) != this.more_at(done)), total)


def _apply(first: int, last: int, keep: Policy, writing: float, this: _Bake) -> tuple[int, bool]:
    """Apply steps in a sandbox, up to `last` or to the end of a role after which a checkpoint pays.

    Returns the next step and whether a checkpoint pays here; the caller writes it once the disk is
    unmounted.
    """
    work = this.work
    (work / "more.sources").write_text(this.more_at(first))
    command = [
        # -P: nothing of the folder the user happens to be in is imported, least of all as root.
        *(sys.executable, "-P", "-m", "provisioner", "apply"),
        *("--disk", str(this.disk)),
        *("--from", str(first), "--to", str(last)),
        *("--checkpoints", keep, "--writing", str(writing)),
        *("--sources", str(work / "apt.sources"), "--more-sources", str(work / "more.sources")),
        *("--preferences", str(work / "apt.preferences"), "--package-cache", str(this.packages)),
        *(f"--repository-url={name}={url}" for name, url in this.repositories.urls.items()),
    ]
    result = sandbox.relay(command, json.dumps(plans.to_json(this.plan)).encode(), this.monitor)
    return result["steps"], result["keep"]
