"""The states of a worker's lifecycle and their deadlines. Pure; all times are seconds since boot.

    waiting    for a valid configuration          ConfigurationTimeout, from boot
    starting   HTCondor does not answer yet       WatchdogTimeout, from the configuration
    joining    HTCondor runs, but the pool does   JoinTimeout, from the start of the startd;
               not show the worker yet, or not    from the last claim if the token has expired
               any more since its token expired
    running    a slot is claimed
    idle       no slot is claimed                 IdleTimeout, from the last claim
    retiring   MaxLifetime is near, or the cloud  MaxLifetime, from boot; DrainTimeout, from the
               takes the machine: running jobs    notice, or earlier if the cloud says so
               may finish, then the worker ends
    silent     HTCondor does not answer any more  WatchdogTimeout, from its last answer
    stopping   shutting down, with the reason     LoginGrace, while somebody is logged in
    stopped    HTCondor is down, as intended

HTCondor exits by itself after IdleTimeout (STARTD_NOCLAIM_SHUTDOWN), because it alone knows that no claim
is on its way. The deadline here is a little later, in case HTCondor does not exit.
"""

from typing import Mapping, NamedTuple, Optional, Tuple

IN_POOL = ("idle", "running", "retiring")  # the states of a worker that the pool shows
_FOREVER = float("inf")
# After HTCondor's own deadline, which it checks only when it sends an update, at most once a minute.
IDLE_MARGIN = 150


class Limits(NamedTuple):
    """The time limits in seconds; infinite for never."""

    configuration: float
    join: float
    idle: float
    lifetime: float
    retirement: float  # how long before MaxLifetime the retirement begins
    watchdog: float
    login: float
    drain: float = 0  # how long jobs may go on when the worker is to stop


class Departure(NamedTuple):
    """That the cloud takes the machine: why, since when it is known, and when at the latest.

    With `is_certain` false, the machine may also stay, and jobs may take as long as they need.
    """

    why: str
    known: float
    ends: float = _FOREVER
    is_certain: bool = True


class Facts(NamedTuple):
    """What an inspection found."""

    now: float
    configured: float  # when the current configuration was installed; 0: none
    unit: str  # ActiveState of condor.service
    exited: bool  # HTCondor exited by itself
    startd: str  # the startd that answers; "": none
    claimed: int
    in_pool: Optional[bool]  # None: not asked, or no answer
    obstacle: str  # why it is not in the pool, if known
    expired: str = ""  # that the token has expired, in words
    departure: Optional[Departure] = None


class Memory(NamedTuple):
    """What earlier inspections found and still matters; 0: not yet."""

    configured: float = 0
    startd: str = ""
    answered: float = 0  # the last answer of a startd
    began: float = 0  # the first answer of this startd
    joined: float = 0  # when the pool first showed the worker
    claimed: float = 0  # when a slot was last claimed
    lost: float = 0  # when the pool stopped showing the worker, whose token has expired
    ending: float = 0  # when the shutdown began
    reason: str = ""
    drained: float = 0  # when the jobs had ended, or had to


class Status(NamedTuple):
    """The state, the reason for it, and its deadline."""

    state: str
    why: str
    deadline: Optional[float] = None  # when the state ends by itself


def limits(values: Mapping[str, str], retirement: float) -> Limits:
    """The time limits of the settings. With OnIdle = none, the worker never ends by itself."""
    stays = values["OnIdle"] == "none"

    def limit(key: str) -> float:
        seconds = int(values[key])
        return float(seconds) if seconds and not stays else _FOREVER

    return Limits(
        limit("ConfigurationTimeout"),
        limit("JoinTimeout"),
        limit("IdleTimeout"),
        limit("MaxLifetime"),
        retirement,
        limit("WatchdogTimeout"),
        float(values["LoginGrace"]),
        float(values["DrainTimeout"]),
    )


def update_memory(memory: Memory, facts: Facts) -> Memory:
    """The memory with what was found now."""
    if facts.configured != memory.configured:
        # A new configuration starts the lifecycle again, even for a worker that shuts down.
        memory = Memory(configured=facts.configured, answered=facts.now)
    if facts.startd and facts.startd != memory.startd:
        memory = Memory(memory.configured, facts.startd, facts.now, began=facts.now)
    if facts.startd:
        memory = memory._replace(answered=facts.now)
    if facts.in_pool and not memory.joined:
        memory = memory._replace(joined=facts.now)
    if facts.claimed:
        memory = memory._replace(claimed=facts.now, joined=memory.joined or facts.now)
    is_lost = memory.joined and facts.expired and facts.in_pool is False
    return memory._replace(lost=(memory.lost or facts.now) if is_lost else 0)


def evaluate(memory: Memory, facts: Facts, limits: Limits) -> Tuple[Status, Memory]:
    """The state of the worker, and the memory, which contains a reason once the worker has to shut down."""
    memory = update_memory(memory, facts)
    if not memory.reason:
        status = _state(memory, facts, limits)
        reason = _shutdown_reason(status, memory, facts, limits)
        if not reason:
            return status, memory
        memory = memory._replace(ending=facts.now, reason=reason)
    return _ending(memory, facts, limits)


def _ending(memory: Memory, facts: Facts, limits: Limits) -> Tuple[Status, Memory]:
    """The state of a worker that shuts down: "retiring" as long as its jobs may go on."""
    end = drain_end(memory, facts, limits)
    if not memory.drained and facts.claimed and facts.now < end:
        why = "%d claimed; %s" % (facts.claimed, memory.reason)
        return Status("retiring", why, _finite(end)), memory
    drained = memory.drained or facts.now
    return Status("stopping", memory.reason), memory._replace(drained=drained)


def drain_end(memory: Memory, facts: Facts, limits: Limits) -> float:
    """Until when running jobs may go on."""
    if facts.departure is None:
        return memory.ending
    if not facts.departure.is_certain:
        return _FOREVER
    return min(facts.departure.known + limits.drain, facts.departure.ends - DEPARTURE_MARGIN)


def _state(memory: Memory, facts: Facts, limits: Limits) -> Status:
    if not facts.configured:
        return Status("waiting", "there is no valid configuration yet", _finite(limits.configuration))
    if facts.exited:
        return Status("stopped", _exit_reason(memory, facts), facts.now)
    if not facts.startd:
        return _silent(memory, facts, limits)
    if not memory.joined:
        why = facts.obstacle or "the pool does not show the worker yet"
        return Status("joining", why, _finite(memory.began + limits.join))
    return _in_pool(memory, facts, limits)


def _silent(memory: Memory, facts: Facts, limits: Limits) -> Status:
    # While systemd waits for a reload to end, HTCondor runs.
    runs = facts.unit in ("active", "reloading")
    why = "HTCondor does not answer" if runs else "HTCondor does not run"
    state = "silent" if memory.startd else "starting"
    return Status(state, why, _finite(memory.answered + limits.watchdog))


def _in_pool(memory: Memory, facts: Facts, limits: Limits) -> Status:
    if facts.now >= limits.lifetime - limits.retirement:
        why = "%d claimed; MaxLifetime is near" % facts.claimed
        return Status("retiring", why, _finite(limits.lifetime))
    expired = "; " + facts.expired if facts.expired else ""
    if facts.claimed:
        return Status("running", "%d claimed%s" % (facts.claimed, expired), _finite(limits.lifetime))
    if memory.lost:
        end = max(memory.lost, memory.claimed) + limits.join
        return Status("joining", facts.expired, _finite(min(end, limits.lifetime)))
    since = max(memory.claimed, memory.began)
    why = "no slot is claimed" + expired
    return Status("idle", why, _finite(min(since + limits.idle, limits.lifetime)))


def _exit_reason(memory: Memory, facts: Facts) -> str:
    if memory.joined:
        return "HTCondor exited after IdleTimeout"
    reason = "HTCondor exited after IdleTimeout; the pool never showed the worker"
    return "%s: %s" % (reason, facts.obstacle) if facts.obstacle else reason


def _shutdown_reason(status: Status, memory: Memory, facts: Facts, limits: Limits) -> str:
    """Why the worker has to shut down now; "" if it does not have to."""
    if facts.departure and facts.configured:
        return facts.departure.why
    if facts.now >= limits.lifetime:
        return "MaxLifetime expired"
    if status.state == "stopped":
        return status.why
    if status.state == "retiring" and not facts.claimed:
        return "MaxLifetime is near and no job runs"
    margin = IDLE_MARGIN if status.state == "idle" else 0
    if status.deadline is None or facts.now < status.deadline + margin:
        return ""
    return _REASONS[status.state] % status.why


_REASONS = {
    "waiting": "ConfigurationTimeout expired: %s",
    "joining": "JoinTimeout expired, not in the pool: %s",
    "starting": "WatchdogTimeout expired: %s",
    "silent": "WatchdogTimeout expired: %s",
    "idle": "IdleTimeout expired: %s, but HTCondor did not exit",
}


def succeeded(memory: Memory) -> bool:
    """Whether the worker did its work: it was in the pool, and HTCondor answered to the end."""
    return bool(memory.joined) and not memory.reason.startswith("WatchdogTimeout")


def _finite(seconds: float) -> Optional[float]:
    return None if seconds == _FOREVER else seconds


def next_action(memory: Memory, facts: Facts, limits: Limits, logins: int, on_idle: str) -> str:
    """What to do about a worker that has to shut down.

    "drain", "stop" or "kill" HTCondor, "wait", "delete" the server, power "off", "force" the power-off, or
    "rest" if all is done.
    """
    down = facts.unit in ("inactive", "failed", "")
    elapsed = facts.now - memory.drained
    if not down:
        if not memory.drained:
            return "drain"
        # A startd that does not answer does not react to a request to stop, either.
        asked = facts.startd and elapsed < STOP_SECONDS
        if asked or elapsed < 2 * STOP_SECONDS or on_idle == "stop":
            return "stop" if asked else "kill"
    # With "none", only the cloud ends the worker, and the machine.
    if on_idle in ("stop", "none"):
        return "rest"
    if logins and elapsed < limits.login:
        return "wait"
    if elapsed >= _force_after(memory, limits, logins):
        return "force"
    return "delete" if on_idle == "delete" else "off"


def _force_after(memory: Memory, limits: Limits, logins: int) -> float:
    return (limits.login if logins else 0) + 2 * STOP_SECONDS + FORCE_SECONDS


# How long jobs and daemons may take to end after a stop, and again after a kill.
STOP_SECONDS = 60
# After this time, a regular power-off that hangs is replaced by a forced one.
FORCE_SECONDS = 600
# Before the cloud takes the machine: for HTCondor to give jobs back to their pool.
DEPARTURE_MARGIN = 20
