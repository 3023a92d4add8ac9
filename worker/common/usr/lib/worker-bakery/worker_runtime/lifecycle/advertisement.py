"""Does the pool show the worker as it is now: this startd, with its configuration and its health?

HTCondor's startd sends its ads each UPDATE_INTERVAL. A reconfiguration has it send them at once (its
reset_timers(), src/condor_startd.V6/ResMgr.cpp), and changes nothing else where nothing has changed.
"""

from typing import Mapping, NamedTuple, Optional, Tuple

from worker_runtime.configuration.kind import Kind
from worker_runtime.lifecycle import observe
from worker_runtime.lifecycle.observe import PoolAds, Slots
from worker_runtime.system.command import run
from worker_runtime.system.console import log

_SEND = ("condor_reconfig", "-daemon", "startd")
SECONDS = 20
# After so many tries a pool, or a file of the site's, shows it otherwise for good.
MAX_TRIES = 20


class Expected(NamedTuple):
    """What the pool is to show."""

    startd: str = ""
    configured: float = 0
    healthy: Optional[bool] = None  # None: the startd does not know yet, and its ads do not say
    names: Tuple[Tuple[str, str], ...] = ()  # attributes by which a worker is found, and their values

    def attributes(self) -> Tuple[str, ...]:
        return (observe.HEALTHY, *(name for name, _ in self.names))


class Progress(NamedTuple):
    """How far the pool has been told that."""

    expected: Expected = Expected()
    tries: int = 0
    shows: bool = False  # it shows it, or has been told and shows its workers to nobody


def expected(kind: Kind, values: Mapping[str, str], configured: float, mine: Optional[Slots]) -> Expected:
    if mine is None or not configured:
        return Expected()
    advertise = ((key.advertise, values[key.setting]) for key in kind.keys if key.advertise)
    names = tuple((name, value) for name, value in advertise if value)
    return Expected(mine.startd, configured, mine.healthy, names)


def is_done(told: Progress, wanted: Expected) -> bool:
    """Is there nothing more to tell?"""
    return told.expected == wanted and (told.shows or told.tries >= MAX_TRIES)


def compare(told: Progress, wanted: Expected, shown: Optional[PoolAds]) -> Progress:
    """With what the pool shows now. Pure."""
    if told.expected != wanted:
        told = Progress(wanted)
    return told._replace(shows=True) if shown and _matches(shown, wanted) else told


def _matches(shown: PoolAds, wanted: Expected) -> bool:
    values = (*wanted.names, (observe.HEALTHY, wanted.healthy))
    return bool(shown.ads) and all(ad.get(name) == value for ad in shown.ads for name, value in values)


def send(told: Progress, shown: Optional[PoolAds]) -> Progress:
    """Have the startd send its ads now."""
    done = run(_SEND, SECONDS)
    if done.status != 0 and told.tries == 0:
        log("the pool hears of the change with HTCondor's next update: " + done.error)
    unseen = shown is None and done.status == 0
    return told._replace(tries=told.tries + 1, shows=told.shows or unseen)
