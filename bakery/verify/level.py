"""What the rungs boot and pool share: a machine, a pool, what is tried, and how long it may take.

Each check is a condition with a limit of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bakery.machines.conditions import Condition
from bakery.machines.machine import Machine
from bakery.verify.pool.sample_jobs import Trial
from bakery.verify.pool.throwaway_pool import Pool
from bakery.verify.verification import Request
from provisioner.events import Monitor

T = TypeVar("T")
HOSTNAME = "worker-proof"
LONG = 4 * 3600  # seconds; no proof takes so long

# Limits in seconds with KVM or in namespaces; a machine that is slower gets more.
UP_LIMIT = 60  # of a namespace machine
LOGIN_LIMIT = 60  # after sshd has answered
SETTLE_LIMIT = 240
JOIN_LIMIT = 240
JOB_LIMIT = 240
REFUSED_LIMIT = 240
FOLLOW_LIMIT = 120
OFF_LIMIT = 240


@dataclass(frozen=True)
class Setting:
    """What the rungs share: the mounted image and a folder to work in."""

    request: Request
    root: Path
    work: Path
    monitor: Monitor


@dataclass(frozen=True)
class Rung:
    """What both rungs look at."""

    setting: Setting
    machine: Machine
    pool: Pool
    tried: Trial

    def until(
        self, what: str, ask: Callable[[], T], seconds: float, holds: Callable[[T], bool] = bool
    ) -> T:
        """Raises NotProven. The seconds are those of a fast machine."""
        return self.machine.wait(Condition(what, ask, seconds * self.machine.slower, holds))
