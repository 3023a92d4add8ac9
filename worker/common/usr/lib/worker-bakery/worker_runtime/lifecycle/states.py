"""The states of a worker's life and their deadlines. Pure; all times are seconds since boot.

    waiting    for a good configuration         ConfigurationTimeout, from boot
    starting   HTCondor does not answer yet     WatchdogTimeout, from the configuration
    joining    HTCondor runs, the pool does     JoinTimeout, from the startd's start
               not show it yet
    running    a slot is claimed
    idle       none is                          IdleTimeout, from the last claim
    retiring   MaxLifetime is near; what runs   MaxLifetime, from boot
               may end, then the worker goes
    silent     it does not answer any more      WatchdogTimeout, from its last answer
    stopping   on the way out, and why          LoginGrace, while somebody is logged in
    stopped    HTCondor is down, as wanted

HTCondor itself ends after IdleTimeout (STARTD_NOCLAIM_SHUTDOWN), for it alone can tell that no
claim is on its way; the deadline here comes a little later, in case it does not.
"""

from typing import Mapping, NamedTuple, Optional, Tuple

IN_POOL = ("idle", "running", "retiring")  # the states of a worker that the pool shows
_FOREVER = float("inf")
# Beyond HTCondor's own deadline: it looks only when it sends an update, at most once a minute.
IDLE_MARGIN = 150


class Limits(NamedTuple):
    """Seconds; infinite for never."""

    configuration: float
    join: float
    idle: float
    lifetime: float
    retirement: float  # how long before its end a worker begins to retire
    watchdog: float
    login: float


class Facts(NamedTuple):
    """What is to be seen now."""

    now: float
    configured: float  # when the configuration in force was installed; 0: there is none
    unit: str  # ActiveState of condor.service
    exited: bool  # HTCondor has ended by itself
    startd: str  # which startd answers; "": none does
    claimed: int
    in_pool: Optional[bool]  # None: not asked, or no answer
    obstacle: str  # why it is not in the pool, if that was asked


class Memory(NamedTuple):
    """What was seen before and still counts."""

    configured: float = 0
    startd: str = ""
    answered: float = 0  # when a startd answered last
    began: float = 0  # when this startd was first seen
    joined: float = 0  # when the pool first showed it; 0: not yet
    claimed: float = 0  # when a slot was last seen claimed; 0: not yet
    ending: float = 0  # when the worker was found to have to go; 0: it stays
    reason: str = ""


class Status(NamedTuple):
    state: str
    why: str
    deadline: Optional[float] = None  # when the next thing happens by itself


def limits(values: Mapping[str, str], retirement: float) -> Limits:
    """What the configuration says. OnIdle = none means that the worker never goes by itself."""
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
    )


def update_memory(memory: Memory, facts: Facts) -> Memory:
    """The memory with what is seen now."""
    if facts.configured != memory.configured:
        # A new configuration is a new beginning, even for a worker on its way out.
        memory = Memory(configured=facts.configured, answered=facts.now)
    if facts.startd and facts.startd != memory.startd:
        memory = Memory(memory.configured, facts.startd, facts.now, began=facts.now)
    if facts.startd:
        memory = memory._replace(answered=facts.now)
    if facts.in_pool and not memory.joined:
        memory = memory._replace(joined=facts.now)
    if facts.claimed:
        memory = memory._replace(claimed=facts.now, joined=memory.joined or facts.now)
    return memory


def evaluate(memory: Memory, facts: Facts, limits: Limits) -> Tuple[Status, Memory]:
    """In which state the worker is, and the memory; with a reason in it once the worker has to go."""
    memory = update_memory(memory, facts)
    if memory.reason:
        return Status("stopping", memory.reason), memory
    life = _state(memory, facts, limits)
    reason = _shutdown_reason(life, memory, facts, limits)
    if reason:
        memory = memory._replace(ending=facts.now, reason=reason)
        return Status("stopping", reason), memory
    return life, memory


def _state(memory: Memory, facts: Facts, limits: Limits) -> Status:
    if not facts.configured:
        return Status("waiting", "there is no good configuration yet", _finite(limits.configuration))
    if facts.exited:
        return Status("stopped", _exit_reason(memory, facts), facts.now)
    if not facts.startd:
        return _silent(memory, facts, limits)
    if not memory.joined:
        why = facts.obstacle or "the pool does not show it yet"
        return Status("joining", why, _finite(memory.began + limits.join))
    return _in_pool(memory, facts, limits)


def _silent(memory: Memory, facts: Facts, limits: Limits) -> Status:
    said = "HTCondor does not answer" if facts.unit == "active" else "HTCondor does not run"
    state = "silent" if memory.startd else "starting"
    return Status(state, said, _finite(memory.answered + limits.watchdog))


def _in_pool(memory: Memory, facts: Facts, limits: Limits) -> Status:
    if facts.now >= limits.lifetime - limits.retirement:
        why = "%d claimed, and MaxLifetime is near" % facts.claimed
        return Status("retiring", why, _finite(limits.lifetime))
    if facts.claimed:
        return Status("running", "%d claimed" % facts.claimed, _finite(limits.lifetime))
    since = max(memory.claimed, memory.began)
    return Status("idle", "no slot is claimed", _finite(min(since + limits.idle, limits.lifetime)))


def _exit_reason(memory: Memory, facts: Facts) -> str:
    if memory.joined:
        return "HTCondor was idle for long enough"
    seen = "HTCondor was idle for long enough; it was never seen in the pool"
    return "%s: %s" % (seen, facts.obstacle) if facts.obstacle else seen


def _shutdown_reason(life: Status, memory: Memory, facts: Facts, limits: Limits) -> str:
    """Why it has to go now; "" if it has not."""
    if facts.now >= limits.lifetime:
        return "its MaxLifetime is over"
    if life.state == "stopped":
        return life.why
    if life.state == "retiring" and not facts.claimed:
        return "its MaxLifetime is near and no job runs"
    margin = IDLE_MARGIN if life.state == "idle" else 0
    if life.deadline is None or facts.now < life.deadline + margin:
        return ""
    return _REASONS[life.state] % life.why


_REASONS = {
    "waiting": "ConfigurationTimeout is over, and %s",
    "joining": "JoinTimeout is over, and it is not in the pool: %s",
    "starting": "WatchdogTimeout is over, and %s",
    "silent": "WatchdogTimeout is over, and %s",
    "idle": "IdleTimeout is over, %s, and HTCondor did not end by itself",
}


def succeeded(memory: Memory) -> bool:
    """Did it do what it is for: it was in the pool, and HTCondor answered to the end."""
    return bool(memory.joined) and not memory.reason.startswith("WatchdogTimeout")


def _finite(seconds: float) -> Optional[float]:
    return None if seconds == _FOREVER else seconds


def next_action(memory: Memory, facts: Facts, limits: Limits, logins: int, on_idle: str) -> str:
    """What to do about a worker that has to go: "stop" or "kill" HTCondor, "wait", power "off",
    "force" it, or "rest" once all is done."""
    down = facts.unit in ("inactive", "failed", "")
    elapsed = facts.now - memory.ending
    if not down:
        # One that does not answer does not hear either.
        asked = facts.startd and elapsed < STOP_SECONDS
        if asked or elapsed < 2 * STOP_SECONDS or on_idle == "stop":
            return "stop" if asked else "kill"
    if on_idle == "stop":
        return "rest"
    if logins and elapsed < limits.login:
        return "wait"
    return "off" if elapsed < _force_after(memory, limits, logins) else "force"


def _force_after(memory: Memory, limits: Limits, logins: int) -> float:
    return (limits.login if logins else 0) + 2 * STOP_SECONDS + FORCE_SECONDS


# How long jobs and daemons have to end, and then to be gone.
STOP_SECONDS = 60
# An orderly power-off that hangs for so long is given up for a rude one.
FORCE_SECONDS = 600
