"""The worker's values as HTCondor's configuration. Pure.

Two layers of quoting, and a value can leave neither: it is ClassAd text, and that is the right
side of a configuration macro, on one line. What neither layer can hold (control characters,
open quotes, some dollar signs) was refused before: values.py, expression.py.
"""

from typing import Dict, Mapping, NamedTuple, Sequence, Tuple

from worker_runtime.configuration import ospool_config, servers
from worker_runtime.configuration.kind import Key, Kind
from worker_runtime.system.classad import quote

HEAD = "# Written by the worker from %s; edit that, not this file.\n"
# Both daemons' ads carry them: the slots', to see the work, and the master's.
ADVERTISED = ("STARTD_ATTRS", "MASTER_ATTRS")
# A job that says how long it takes may start as long as it fits; others, only until here.
_RETIREMENT_SHARE, _MAX_RETIREMENT = 4, 24 * 3600
# How long a job takes at most, by its own word: condor_submit's two names, and OSG's in minutes.
_JOB_DURATION = (
    "ifThenElse(TARGET.AllowedJobDuration =!= undefined, TARGET.AllowedJobDuration, "
    "ifThenElse(TARGET.AllowedExecuteDuration =!= undefined, TARGET.AllowedExecuteDuration, "
    "60 * TARGET.MaxWallTimeMins))"
)


class Macro(NamedTuple):
    name: str
    value: str


class Machine(NamedTuple):
    """What the configuration takes from the machine: when it was booted (seconds since 1970), the
    strings that it advertises, and which of several equal servers are its own."""

    booted: int
    attributes: Mapping[str, str]
    selector: int = 0


def escape_macro(classad: str) -> str:
    """For the right side of a macro, which knows no other way to write a dollar sign."""
    return classad.replace("$", "$(DOLLAR)")


def update_interval(idle: int) -> int:
    """HTCondor looks for idleness only when it sends an update, by default each 300 s."""
    return min(60, max(10, idle // 4)) if idle else 60


def idle_limit(values: Mapping[str, str]) -> int:
    """Seconds after which HTCondor ends by itself; 0: never."""
    return 0 if values["OnIdle"] == "none" else int(values["IdleTimeout"])


def end_time(values: Mapping[str, str], booted: int) -> int:
    """When the machine goes at the latest, in seconds since 1970; 0: never."""
    lifetime = int(values["MaxLifetime"])
    return booted + lifetime if lifetime else 0


def retirement_time(values: Mapping[str, str], booted: int) -> int:
    """From when on only jobs are taken that say that they end in time; 0: never."""
    lifetime = int(values["MaxLifetime"])
    share = min(lifetime // _RETIREMENT_SHARE, _MAX_RETIREMENT)
    return end_time(values, booted) - share if lifetime else 0


def attributes(kind: Kind, values: Mapping[str, str], place: Machine) -> Dict[str, str]:
    """Everything that the worker advertises of itself, as ClassAd text."""
    found = {name: quote(value) for name, value in sorted(place.attributes.items())}
    for key in kind.keys:
        if key.advertise and values[key.setting]:
            found[key.advertise] = quote(values[key.setting])
    if requirements(kind, values).lower() != "true":
        # A worker for some is no part of the pool for all, and must not be counted as one.
        found.update(kind.restricted)
    if int(values["MaxLifetime"]):
        found["WorkerRetires"] = str(retirement_time(values, place.booted))
        found["WorkerEnds"] = str(end_time(values, place.booted))
    found.update(dedicated_attributes(kind, values))
    found.update(ospool_config.attributes(kind, values, found))
    return found


def dedicated_attributes(kind: Kind, values: Mapping[str, str]) -> Dict[str, str]:
    """What makes this a machine of a dedicated scheduler, which parallel jobs need."""
    name = values.get("ScheddName")
    if not name:
        return {}
    found = {"DedicatedScheduler": quote("DedicatedScheduler@" + name)}
    for key in kind.keys:
        if key.advertise and key.advertise == kind.parallel_group:
            found["ParallelSchedulingGroup"] = quote(values[key.setting])
    return found


def preferences(kind: Kind, values: Mapping[str, str]) -> Tuple[Macro, ...]:
    """Parallel jobs first, ordinary ones too. (HTCondor's manual, "Configuring Dedicated Resources".)

    Not PREEMPT = False, as the manual has it: the limits on memory and disk are part of that.
    """
    scheduler = dedicated_attributes(kind, values).get("DedicatedScheduler")
    if not scheduler:
        return ()
    never = ("SUSPEND", "WANT_SUSPEND", "KILL")
    rank = Macro("RANK", "TARGET.Scheduler =?= " + scheduler)
    return (rank, *(Macro(name, "False") for name in never))


def macros(kind: Kind, values: Mapping[str, str], place: Machine) -> Tuple[Macro, ...]:
    """What the file says, but for START."""
    idle = idle_limit(values)
    return (
        *pool(kind, values, place.selector),
        *(Macro(name, value) for name, value in attributes(kind, values, place).items()),
        *preferences(kind, values),
        Macro("STARTD_NOCLAIM_SHUTDOWN", str(idle)),
        Macro("UPDATE_INTERVAL", str(update_interval(idle))),
    )


def pool(kind: Kind, values: Mapping[str, str], selector: int) -> Tuple[Macro, ...]:
    """Where ads go, who brokers connections if that is somebody else, and who issues tokens.

    A worker finds its token without TRUST_DOMAIN, because servers name theirs; it says to others what this
    one's is.
    """
    managers = servers.managers(kind.pools, values, selector)
    brokers = servers.brokers(kind.pools, values, selector)
    found = [
        Macro("CONDOR_HOST", ",".join(servers.host_of(one) for one in managers)),
        Macro("COLLECTOR_HOST", ",".join(managers)),
    ]
    if brokers != managers:
        found.append(Macro("CCB_ADDRESS", ",".join(brokers)))
    trust_domain = servers.trust_domain(kind.pools, values)
    return (*found, Macro("TRUST_DOMAIN", trust_domain)) if trust_domain else tuple(found)


def conditions(kind: Kind, values: Mapping[str, str]) -> Tuple[str, ...]:
    """What the user demands of jobs."""
    return tuple(_condition(key, values[key.setting]) for key in kind.keys if key.start)


def _condition(key: Key, value: str) -> str:
    if not value:
        return "False" if key.required else "True"
    return key.start.replace("%s", value if key.kind == "expression" else quote(value))


def requirements(kind: Kind, values: Mapping[str, str]) -> str:
    """The same as one expression."""
    found = conditions(kind, values)
    return found[0] if len(found) == 1 else " && ".join("( %s )" % one for one in found) or "True"


def guards(kind: Kind, values: Mapping[str, str]) -> Tuple[str, ...]:
    """The macros of the image's and the site's files that hold for every job as well."""
    return ("WORKER_GUARDS", *ospool_config.guards(kind, values))


def start_expression(values: Mapping[str, str], guards: Sequence[str], wanted: str) -> str:
    """Each in parentheses, so that no || of any reaches into another."""
    parts = (*policy(values), *guards, wanted)
    return " && ".join("( %s )" % part for part in parts)


def policy(values: Mapping[str, str]) -> Tuple[str, ...]:
    """What holds for every worker: well, with time left, and its GPUs not idle beside the work."""
    found = ["MY.NODE_IS_HEALTHY =?= True"]
    if int(values["MaxLifetime"]):
        fits = "time() + %s <= MY.WorkerEnds" % _JOB_DURATION
        found.append("ifThenElse(isUndefined(%s), time() < MY.WorkerRetires, %s)" % (_JOB_DURATION, fits))
    if values["GpuJobsOnly"] == "yes":
        found.append("MY.TotalGPUs =?= undefined || MY.TotalGPUs == 0 || TARGET.RequestGPUs > 0")
    return tuple(found)


def render(kind: Kind, values: Mapping[str, str], place: Machine) -> str:
    """The whole of 90-….config."""
    said = macros(kind, values, place)
    lines = ["%s = %s" % (macro.name, escape_macro(macro.value)) for macro in said]
    named = " ".join(attributes(kind, values, place))
    lines += ["%s = $(%s) %s" % (attrs, attrs, named) for attrs in ADVERTISED if named]
    macros_of_others = ["$(%s)" % name for name in guards(kind, values)]
    lines.append(
        "START = " + start_expression(values, macros_of_others, escape_macro(requirements(kind, values)))
    )
    return HEAD % kind.file + "\n".join(lines) + "\n"


def expected_values(
    kind: Kind, values: Mapping[str, str], place: Machine, guards: Sequence[str]
) -> Dict[str, str]:
    """How HTCondor has to read these macros back, given what those of `guards` expand to."""
    return dict(
        macros(kind, values, place), START=start_expression(values, guards, requirements(kind, values))
    )


def needs_restart(before: str, after: str) -> bool:
    """Is a reconfiguration too little? Only new managers are not taken up by running daemons."""
    return _pool(before) != _pool(after)


def _pool(text: str) -> Tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.startswith(("CONDOR_HOST ", "COLLECTOR_HOST ")))
