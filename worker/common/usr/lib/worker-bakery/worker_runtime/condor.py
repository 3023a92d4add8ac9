"""The worker's values as HTCondor's configuration. Pure.

Two layers of quoting, and a value can leave neither: it is ClassAd text, and that is the right
side of a configuration macro, on one line. What neither layer can hold (control characters,
open quotes, some dollar signs) was refused before: values.py, expression.py.
"""

from typing import Dict, Mapping, NamedTuple, Tuple

HEAD = """\
# Written by `worker configure` from /etc/osg-worker.conf; edit that file, not this one.
"""
# Both daemons' ads carry them: the slots', to see the work, and the master's.
ADVERTISED = ("STARTD_ATTRS", "MASTER_ATTRS")
# A job that says how long it takes may start as long as it fits; others, only until here.
_RETIRING_SHARE, _RETIRING_MOST = 4, 24 * 3600
# How long a job takes at most, by its own word: condor_submit's two names, and OSG's in minutes.
_NEEDS = (
    "ifThenElse(TARGET.AllowedJobDuration =!= undefined, TARGET.AllowedJobDuration, "
    "ifThenElse(TARGET.AllowedExecuteDuration =!= undefined, TARGET.AllowedExecuteDuration, "
    "60 * TARGET.MaxWallTimeMins))"
)


class Macro(NamedTuple):
    name: str
    value: str


class Place(NamedTuple):
    """What the configuration takes from the machine: when it was booted (seconds since 1970), and
    the strings that it advertises."""

    booted: int
    attributes: Mapping[str, str]


def quoted(text: str) -> str:
    """A ClassAd string as the startd reads one in its configuration.

    That is the old syntax, in which a backslash stands for itself, unless a quote follows it
    that is not the last character of the line: \\ would be two of them.
    """
    return '"' + text.replace('"', '\\"') + '"'


def escaped(classad: str) -> str:
    """For the right side of a macro, which knows no other way to write a dollar sign."""
    return classad.replace("$", "$(DOLLAR)")


def update_interval(idle: int) -> int:
    """HTCondor looks for idleness only when it sends an update, by default each 300 s."""
    return min(60, max(10, idle // 4)) if idle else 60


def idle_limit(values: Mapping[str, str]) -> int:
    """Seconds after which HTCondor ends by itself; 0: never."""
    return 0 if values["OnIdle"] == "none" else int(values["IdleTimeout"])


def ends(values: Mapping[str, str], booted: int) -> int:
    """When the machine goes at the latest, in seconds since 1970; 0: never."""
    lifetime = int(values["MaxLifetime"])
    return booted + lifetime if lifetime else 0


def retires(values: Mapping[str, str], booted: int) -> int:
    """From when on only jobs are taken that say that they end in time; 0: never."""
    lifetime = int(values["MaxLifetime"])
    share = min(lifetime // _RETIRING_SHARE, _RETIRING_MOST)
    return ends(values, booted) - share if lifetime else 0


def attributes(values: Mapping[str, str], place: Place) -> Dict[str, str]:
    """Everything that the worker advertises of itself, as ClassAd text."""
    found = {name: quoted(value) for name, value in sorted(place.attributes.items())}
    if values["WorkerGroupName"]:
        found["WorkerGroupName"] = quoted(values["WorkerGroupName"])
    if values["Start"].lower() != "true":
        # A worker for some is no part of the pool for all, and must not be counted as one.
        found["OSPool"] = "False"
    if int(values["MaxLifetime"]):
        found["WorkerRetires"] = str(retires(values, place.booted))
        found["WorkerEnds"] = str(ends(values, place.booted))
    return found


def macros(values: Mapping[str, str], place: Place) -> Tuple[Macro, ...]:
    """What the file says, but for START."""
    manager, idle = values["CentralManager"], idle_limit(values)
    return (
        Macro("CONDOR_HOST", without_port(manager)),
        Macro("COLLECTOR_HOST", manager),
        *(Macro(name, value) for name, value in attributes(values, place).items()),
        Macro("STARTD_NOCLAIM_SHUTDOWN", str(idle)),
        Macro("UPDATE_INTERVAL", str(update_interval(idle))),
    )


def start(values: Mapping[str, str], guards: str, wanted: str) -> str:
    """Each in parentheses, so that no || of any reaches into another."""
    parts = (*policy(values), guards, wanted)
    return " && ".join("( %s )" % part for part in parts)


def policy(values: Mapping[str, str]) -> Tuple[str, ...]:
    """What holds for every worker: well, with time left, and its GPUs not idle beside the work."""
    found = ["MY.NODE_IS_HEALTHY =?= True"]
    if int(values["MaxLifetime"]):
        fits = "time() + %s <= MY.WorkerEnds" % _NEEDS
        found.append(
            "ifThenElse(isUndefined(%s), time() < MY.WorkerRetires, %s)" % (_NEEDS, fits)
        )
    if values["GpuJobsOnly"] == "yes":
        found.append("MY.TotalGPUs =?= undefined || MY.TotalGPUs == 0 || TARGET.RequestGPUs > 0")
    return tuple(found)


def render(values: Mapping[str, str], place: Place) -> str:
    """The whole of 90-osg-worker.config."""
    lines = ["%s = %s" % (macro.name, escaped(macro.value)) for macro in macros(values, place)]
    named = " ".join(attributes(values, place))
    lines += ["%s = $(%s) %s" % (attrs, attrs, named) for attrs in ADVERTISED if named]
    lines.append("START = " + start(values, "$(WORKER_GUARDS)", escaped(values["Start"])))
    return HEAD + "\n".join(lines) + "\n"


def meant(values: Mapping[str, str], place: Place, guards: str) -> Dict[str, str]:
    """How HTCondor has to read these macros back, given what the image's guards expand to."""
    return dict(macros(values, place), START=start(values, guards, values["Start"]))


def needs_restart(before: str, after: str) -> bool:
    """Is a reconfiguration too little? Only a new pool is not taken up by running daemons."""
    return _pool(before) != _pool(after)


def _pool(text: str) -> Tuple[str, ...]:
    return tuple(
        line for line in text.splitlines() if line.startswith(("CONDOR_HOST ", "COLLECTOR_HOST "))
    )


def without_port(manager: str) -> str:
    """HOST of HOST, HOST:PORT and [ADDRESS]:PORT."""
    if manager.startswith("["):
        return manager[: manager.index("]") + 1]
    return manager.split(":")[0]
