"""Does the pool show the worker as it is now: this startd, with its configuration and its health?

HTCondor's startd sends its ads each UPDATE_INTERVAL. A reconfiguration has it send them at once (its
reset_timers(), src/condor_startd.V6/ResMgr.cpp), and changes nothing else where nothing has changed.
"""

from typing import Mapping, NamedTuple, Optional, Tuple

from worker_runtime import observe
from worker_runtime.kind import Kind
from worker_runtime.observe import Shown, Slots
from worker_runtime.program import ended
from worker_runtime.say import say

_SEND = ("condor_reconfig", "-daemon", "startd")
SECONDS = 20
# After so many tries a pool, or a file of the site's, shows it otherwise for good.
TRIES = 20


class Wanted(NamedTuple):
    """What the pool is to show."""

    startd: str = ""
    configured: float = 0
    healthy: Optional[bool] = None  # None: the startd does not know yet, and its ads do not say
    names: Tuple[Tuple[str, str], ...] = ()  # attributes by which a worker is found, and their values

    def attributes(self) -> Tuple[str, ...]:
        return (observe.HEALTHY, *(name for name, _ in self.names))


class Told(NamedTuple):
    """How far the pool has been told that."""

    wanted: Wanted = Wanted()
    tries: int = 0
    shows: bool = False  # it shows it, or has been told and shows its workers to nobody


def wanted(kind: Kind, values: Mapping[str, str], configured: float, mine: Optional[Slots]) -> Wanted:
    if mine is None or not configured:
        return Wanted()
    advertise = ((key.advertise, values[key.setting]) for key in kind.keys if key.advertise)
    names = tuple((name, value) for name, value in advertise if value)
    return Wanted(mine.startd, configured, mine.healthy, names)


def done(told: Told, wanted: Wanted) -> bool:
    """Is there nothing more to tell?"""
    return told.wanted == wanted and (told.shows or told.tries >= TRIES)


def compared(told: Told, wanted: Wanted, shown: Optional[Shown]) -> Told:
    """With what the pool shows now. Pure."""
    if told.wanted != wanted:
        told = Told(wanted)
    return told._replace(shows=True) if shown and _is(shown, wanted) else told


def _is(shown: Shown, wanted: Wanted) -> bool:
    values = (*wanted.names, (observe.HEALTHY, wanted.healthy))
    return bool(shown.ads) and all(ad.get(name) == value for ad in shown.ads for name, value in values)


def sent(told: Told, shown: Optional[Shown]) -> Told:
    """Have the startd send its ads now."""
    done = ended(_SEND, SECONDS)
    if done.status != 0 and told.tries == 0:
        say("the pool hears of the change with HTCondor's next update: " + done.complaint)
    unseen = shown is None and done.status == 0
    return told._replace(tries=told.tries + 1, shows=told.shows or unseen)
