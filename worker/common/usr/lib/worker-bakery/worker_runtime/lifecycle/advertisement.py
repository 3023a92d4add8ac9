"""Tells whether the pool shows the worker as it is now: this startd, with its configuration and its health.

HTCondor's startd sends its ads each UPDATE_INTERVAL. A reconfiguration makes it send them at once
(reset_timers() in src/condor_startd.V6/ResMgr.cpp) and changes nothing else if the configuration is the
same.
"""

from typing import Mapping, NamedTuple, Optional, Tuple

from worker_runtime.configuration.kind import Kind
from worker_runtime.lifecycle import observe
from worker_runtime.lifecycle.observe import PoolAds, Slots
from worker_runtime.system.command import run
from worker_runtime.system.console import log

_SEND = ("condor_reconfig", "-daemon", "startd")
SECONDS = 20
# Seconds between two tries: clients that wait trigger inspections more often than a busy pool can follow.
INTERVAL = 5
# After five minutes of tries, the pool or a file of the site overrides the attributes permanently.
MAX_TRIES = 60
# A startd that has just started may not answer yet. More failures in a row are reported.
REPORTED_FAILURES = 3


class Expected(NamedTuple):
    """What the pool should show."""

    startd: str = ""
    configured: float = 0
    healthy: Optional[bool] = None  # None: the startd does not know yet
    names: Tuple[Tuple[str, str], ...] = ()  # attributes that identify the worker, with values

    def attributes(self) -> Tuple[str, ...]:
        return (observe.HEALTHY, *(name for name, _ in self.names))


class Progress(NamedTuple):
    """How far the pool shows that."""

    expected: Expected = Expected()
    tries: int = 0
    shows: bool = False  # it shows it, or does not show its workers to anybody
    failures: int = 0  # of the last tries, in a row
    last: float = float("-inf")  # time of the last try, seconds since boot


def expected(kind: Kind, values: Mapping[str, str], configured: float, mine: Optional[Slots]) -> Expected:
    """What the pool should show of the startd `mine`; empty if no startd answers."""
    if mine is None or not configured:
        return Expected()
    advertise = ((key.advertise, values[key.setting]) for key in kind.keys if key.advertise)
    names = tuple((name, value) for name, value in advertise if value)
    return Expected(mine.startd, configured, mine.healthy, names)


def is_done(progress: Progress, wanted: Expected) -> bool:
    """Whether there is nothing more to send."""
    return progress.expected == wanted and (progress.shows or progress.tries >= MAX_TRIES)


def compare(progress: Progress, wanted: Expected, shown: Optional[PoolAds]) -> Progress:
    """The progress after a comparison with what the pool shows now. Pure."""
    if progress.expected != wanted:
        progress = Progress(wanted)
    return progress._replace(shows=True) if shown and _matches(shown, wanted) else progress


def _matches(shown: PoolAds, wanted: Expected) -> bool:
    values = (*wanted.names, (observe.HEALTHY, wanted.healthy))
    return bool(shown.ads) and all(ad.get(name) == value for ad in shown.ads for name, value in values)


def is_due(progress: Progress, now: float) -> bool:
    """Whether the last try was long enough ago; `now` is in seconds since boot."""
    return now - progress.last >= INTERVAL


def send(progress: Progress, shown: Optional[PoolAds], now: float) -> Progress:
    """Make the startd send its ads now."""
    done = run(_SEND, SECONDS)
    failures = progress.failures + 1 if done.status != 0 else 0
    if failures == REPORTED_FAILURES:
        log("the pool will show the change after HTCondor's next update: " + done.error)
    unseen = shown is None and done.status == 0
    return Progress(progress.expected, progress.tries + 1, progress.shows or unseen, failures, now)
