"""The chroot engine: mount a copy of the base and change it in place, without a virtual machine.

Requires root.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakery.engines import checkpoints
from bakery.engines.chroot import package_cache
from bakery.engines.made import Made
from bakery.image.recipe import OPTIONAL
from bakery.runtime import mirror, qemu_img, sandbox
from bakery.store.store import Store
from provisioner import plan as plans
from provisioner.checkpoints import Policy
from provisioner.disk import growth
from provisioner.events import Monitor, phase
from provisioner.plan import Plan

TOOLS = (
    *("qemu-img", "mount", "unshare", "setpriv", "chroot", "sfdisk", "fstrim", "blkid"),
    *("mke2fs", "debugfs"),
)


@dataclass(frozen=True)
class Repositories:
    """Package sources of one bake; they are not part of any id.

    `distribution` and `more` are deb822 texts as in sources.list.d; `urls` maps repository ids to mirrors.
    """

    release: str
    distribution: str
    more: str = ""  # for optional roles only: other images share the checkpoints before these roles
    urls: Mapping[str, str] = field(default_factory=dict)
    refresh: bool = False  # read the package lists again when a bake resumes
    pins: str = ""  # apt_preferences(5), in addition to those of the release

    def of(self, role: str) -> str:
        """The sources of this role in addition to those that the image itself defines."""
        return "\n".join(filter(None, (self.distribution, self.more_of(role))))

    def more_of(self, role: str) -> str:
        return self.more if role in OPTIONAL else ""


@dataclass(frozen=True)
class _Bake:
    """What all sandboxes of one bake share. The disk is `work`/disk.raw, `packages` the package cache."""

    plan: Plan
    store: Store
    repositories: Repositories
    work: Path
    packages: Path
    monitor: Monitor
    awaited: Collection[int]
    rewrite: bool

    @property
    def disk(self) -> Path:
        return self.work / "disk.raw"

    def more_at(self, step: int) -> str:
        """The sources for the role of this step only."""
        return self.repositories.more_of(self.plan.steps[step].role)


def bake(
    plan: Plan,
    store: Store,
    repositories: Repositories,
    work: Path,
    monitor: Monitor,
    keep: Policy = "auto",
    awaited: Collection[int] = (),
    *,
    rewrite: bool = True,
) -> Made:
    """Return the finished, sealed raw disk in `work`.

    The base must be in the store, protected from removal by the caller. `awaited` are the ends of roles
    after which a checkpoint is written in any case, because other bakes wait for it. With `rewrite`, the
    file systems of the finished disk are written again (provisioner/disk/rewrite.py).
    """
    release = repositories.release
    (work / "apt.sources").write_text(repositories.distribution)
    (work / "apt.preferences").write_text(f"{mirror.preferences(release)}\n{repositories.pins}")
    with package_cache.private(store.packages(release), work, monitor) as packages:
        this = _Bake(plan, store, repositories, work, packages, monitor, awaited, rewrite)
        started = time.monotonic()
        done, date = _copy_nearest(this)
        written = _apply_from(done, date, time.monotonic() - started, keep, this)
    return Made(this.disk, written.get("date", 0), written.get("obstacle", "it was not written again"))


def _copy_nearest(this: _Bake) -> tuple[int, int]:
    """Create the working disk; return the number of applied steps, and the date of the base or 0."""
    with checkpoints.nearest(this.plan, this.store, this.monitor) as (done, start):
        with phase(this.monitor, "copy the base" if not done else "copy the checkpoint"):
            qemu_img.to_raw(start, this.disk)
        if not done and this.plan.root_size:
            # Its file system follows where it is mounted (provisioner/__main__.py).
            growth.enlarge(this.disk, this.plan.root_size)
        return done, checkpoints.source_date(start) if done else 0


def _apply_from(done: int, date: int, copying: float, keep: Policy, this: _Bake) -> dict[str, Any]:
    """Apply the remaining steps, writing checkpoints where they save time.

    The time to write one is first estimated from `copying` (seconds to copy a disk), then measured. Returns
    "written" of the last sandbox (provisioner/__main__.py).
    """
    writing, refresh, written = copying, this.repositories.refresh, dict[str, Any]()
    while done < len(this.plan.steps):
        result = _apply(done, date, keep, writing, this, refresh)
        done, date, written = result["steps"], result["source_date"], result["written"]
        refresh = False
        if result["keep"]:
            started = time.monotonic()
            store, work, monitor = this.store, this.work, this.monitor
            checkpoints.keep(this.disk, this.plan, done, store, work, monitor, source_date=date)
            writing = time.monotonic() - started
    return written


def _sandbox_end(done: int, this: _Bake) -> int:
    """The step at which a sandbox must end: where the additional sources of the roles change."""
    total = len(this.plan.steps)
    return next((end for end in range(done, total) if this.more_at(end) != this.more_at(done)), total)


def _apply(
    first: int, date: int, keep: Policy, writing: float, this: _Bake, refresh: bool
) -> dict[str, Any]:
    """Apply steps in a sandbox, up to the end of a role after which a checkpoint saves time.

    With `refresh`, the package lists are read again before. `date` is that of the base, 0 if it is unknown.
    Returns the result of provisioner/__main__.py. The disk is unmounted.
    """
    work, last = this.work, _sandbox_end(first, this)
    (work / "more.sources").write_text(this.more_at(first))
    command = [
        # -P: import nothing from the current folder, above all not as root.
        *(sys.executable, "-P", "-m", "provisioner", "apply"),
        *("--disk", str(this.disk)),
        *("--from", str(first), "--to", str(last)),
        *("--checkpoints", keep, "--writing", str(writing)),
        *(f"--awaited={steps}" for steps in this.awaited),
        *("--sources", str(work / "apt.sources"), "--more-sources", str(work / "more.sources")),
        *("--preferences", str(work / "apt.preferences"), "--package-cache", str(this.packages)),
        *(["--refresh"] if refresh else []),
        *(["--source-date", str(date)] if date else []),
        *(["--rewrite"] if this.rewrite else []),
        *(f"--repository-url={name}={url}" for name, url in this.repositories.urls.items()),
    ]
    return sandbox.run_module(command, json.dumps(plans.to_json(this.plan)).encode(), this.monitor)
