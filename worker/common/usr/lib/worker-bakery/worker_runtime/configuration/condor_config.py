"""Renders the worker's values as HTCondor's configuration. Pure.

Each value is quoted twice: as ClassAd text, and as the right side of a configuration macro on one line.
What neither can represent (control characters, open quotes, some dollar signs) was rejected before, by
values.py and expression.py.
"""

from typing import Dict, Mapping, NamedTuple, Sequence, Tuple

from worker_runtime.configuration import ospool_config, servers
from worker_runtime.configuration.kind import Key, Kind
from worker_runtime.system.classad import quote

HEAD = "# Written by the worker from %s. Edit that file instead of this one.\n"
# The attributes are in the ads of the slots and of the master.
ADVERTISED = ("STARTD_ATTRS", "MASTER_ATTRS")
# Jobs that state their duration may start as long as they fit; other jobs only until retirement begins.
_RETIREMENT_SHARE, _MAX_RETIREMENT = 4, 24 * 3600
# The longest duration that a job states: two attributes of condor_submit, and OSG's in minutes.
_JOB_DURATION = (
    "ifThenElse(TARGET.AllowedJobDuration =!= undefined, TARGET.AllowedJobDuration, "
    "ifThenElse(TARGET.AllowedExecuteDuration =!= undefined, TARGET.AllowedExecuteDuration, "
    "60 * TARGET.MaxWallTimeMins))"
)


class Macro(NamedTuple):
    """A configuration macro; `value` is not escaped."""

    name: str
    value: str


class Machine(NamedTuple):
    """What the configuration takes from the machine.

    `booted` is the time of boot in seconds since 1970, `attributes` are strings to advertise, and
    `selector` is the number that selects one of several equal servers. `image_date` is the date of the
    image in seconds since 1970, 0 if unknown.
    """

    booted: int
    attributes: Mapping[str, str]
    selector: int = 0
    image_date: int = 0


def escape_macro(classad: str) -> str:
    """For the right side of a macro, which has no other way to write a dollar sign."""
    return classad.replace("$", "$(DOLLAR)")


def update_interval(idle: int) -> int:
    """UPDATE_INTERVAL in seconds.

    HTCondor checks for idleness only when it sends an update, by default every 300 s.
    """
    return min(60, max(10, idle // 4)) if idle else 60


def idle_limit(values: Mapping[str, str]) -> int:
    """Seconds without a claim after which HTCondor exits; 0: never."""
    return 0 if values["OnIdle"] == "none" else int(values["IdleTimeout"])


def end_time(values: Mapping[str, str], booted: int) -> int:
    """The latest end of the machine, in seconds since 1970; 0: never."""
    lifetime = int(values["MaxLifetime"])
    return booted + lifetime if lifetime else 0


def retirement_time(values: Mapping[str, str], booted: int) -> int:
    """When the retirement begins, in seconds since 1970; 0: never.

    From then on, only jobs are accepted that state a duration and end in time.
    """
    lifetime = int(values["MaxLifetime"])
    share = min(lifetime // _RETIREMENT_SHARE, _MAX_RETIREMENT)
    return end_time(values, booted) - share if lifetime else 0


def attributes(kind: Kind, values: Mapping[str, str], machine: Machine) -> Dict[str, str]:
    """Everything that the worker advertises about itself: attribute -> ClassAd text."""
    found = {name: quote(value) for name, value in sorted(machine.attributes.items())}
    if machine.image_date:
        found["WorkerImageDate"] = str(machine.image_date)
    for key in kind.keys:
        if key.advertise and values[key.setting]:
            found[key.advertise] = quote(values[key.setting])
    if requirements(kind, values).lower() != "true":
        # A worker that accepts only some jobs must not be counted as capacity for all.
        found.update(kind.restricted)
    if int(values["MaxLifetime"]):
        found["WorkerRetires"] = str(retirement_time(values, machine.booted))
        found["WorkerEnds"] = str(end_time(values, machine.booted))
    found.update(dedicated_attributes(kind, values))
    found.update(ospool_config.attributes(kind, values, found))
    return found


def dedicated_attributes(kind: Kind, values: Mapping[str, str]) -> Dict[str, str]:
    """The attributes of a machine of a dedicated scheduler, which parallel jobs require."""
    name = values.get("ScheddName")
    if not name:
        return {}
    found = {"DedicatedScheduler": quote("DedicatedScheduler@" + name)}
    for key in kind.keys:
        if key.advertise and key.advertise == kind.parallel_group:
            found["ParallelSchedulingGroup"] = quote(values[key.setting])
    return found


def preferences(kind: Kind, values: Mapping[str, str]) -> Tuple[Macro, ...]:
    """Prefer parallel jobs, but accept others. (HTCondor's manual, "Configuring Dedicated Resources".)

    PREEMPT stays as it is, unlike in the manual, because the limits on memory and disk are part of it.
    """
    scheduler = dedicated_attributes(kind, values).get("DedicatedScheduler")
    if not scheduler:
        return ()
    never = ("SUSPEND", "WANT_SUSPEND", "KILL")
    rank = Macro("RANK", "TARGET.Scheduler =?= " + scheduler)
    return (rank, *(Macro(name, "False") for name in never))


def macros(kind: Kind, values: Mapping[str, str], machine: Machine) -> Tuple[Macro, ...]:
    """All macros of the file except START."""
    idle = idle_limit(values)
    return (
        *pool(kind, values, machine.selector),
        *(Macro(name, value) for name, value in attributes(kind, values, machine).items()),
        *preferences(kind, values),
        Macro("STARTD_NOCLAIM_SHUTDOWN", str(idle)),
        Macro("UPDATE_INTERVAL", str(update_interval(idle))),
    )


def pool(kind: Kind, values: Mapping[str, str], selector: int) -> Tuple[Macro, ...]:
    """The collectors, the connection brokers if they are other servers, and the trust domain.

    A worker finds its token without TRUST_DOMAIN, because servers name theirs. The macro tells others the
    worker's.
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
    """The user's requirements on jobs, one expression for each key."""
    return tuple(_condition(key, values[key.setting]) for key in kind.keys if key.start)


def _condition(key: Key, value: str) -> str:
    if not value:
        return "False" if key.required else "True"
    return key.start.replace("%s", value if key.kind == "expression" else quote(value))


def requirements(kind: Kind, values: Mapping[str, str]) -> str:
    """The user's requirements on jobs as one expression."""
    found = conditions(kind, values)
    return found[0] if len(found) == 1 else " && ".join("( %s )" % one for one in found) or "True"


def guards(kind: Kind, values: Mapping[str, str]) -> Tuple[str, ...]:
    """The names of the macros of the image and the site that apply to every job as well."""
    return ("WORKER_GUARDS", *ospool_config.guards(kind, values))


def start_expression(values: Mapping[str, str], guards: Sequence[str], wanted: str) -> str:
    """START. Each part is in parentheses, so that no || of one part affects another."""
    parts = (*policy(values), *guards, wanted)
    return " && ".join("( %s )" % part for part in parts)


def policy(values: Mapping[str, str]) -> Tuple[str, ...]:
    """The conditions of every worker: healthy, enough time left, and no GPU idle while other jobs run."""
    found = ["MY.NODE_IS_HEALTHY =?= True"]
    if int(values["MaxLifetime"]):
        fits = "time() + %s <= MY.WorkerEnds" % _JOB_DURATION
        found.append("ifThenElse(isUndefined(%s), time() < MY.WorkerRetires, %s)" % (_JOB_DURATION, fits))
    if values["GpuJobsOnly"] == "yes":
        found.append("MY.TotalGPUs =?= undefined || MY.TotalGPUs == 0 || TARGET.RequestGPUs > 0")
    return tuple(found)


def render(kind: Kind, values: Mapping[str, str], machine: Machine) -> str:
    """The content of 90-NAME.config."""
    rendered = macros(kind, values, machine)
    lines = ["%s = %s" % (macro.name, escape_macro(macro.value)) for macro in rendered]
    named = " ".join(attributes(kind, values, machine))
    lines += ["%s = $(%s) %s" % (attrs, attrs, named) for attrs in ADVERTISED if named]
    macros_of_others = ["$(%s)" % name for name in guards(kind, values)]
    lines.append(
        "START = " + start_expression(values, macros_of_others, escape_macro(requirements(kind, values)))
    )
    return HEAD % kind.file + "\n".join(lines) + "\n"


def expected_values(
    kind: Kind, values: Mapping[str, str], machine: Machine, guards: Sequence[str]
) -> Dict[str, str]:
    """The values that HTCondor must report for these macros.

    `guards` are the expanded macros of guards().
    """
    return dict(
        macros(kind, values, machine), START=start_expression(values, guards, requirements(kind, values))
    )


def needs_restart(before: str, after: str) -> bool:
    """Whether a reconfiguration is not enough: running daemons do not adopt new central managers."""
    return _pool(before) != _pool(after)


def _pool(text: str) -> Tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.startswith(("CONDOR_HOST ", "COLLECTOR_HOST ")))
