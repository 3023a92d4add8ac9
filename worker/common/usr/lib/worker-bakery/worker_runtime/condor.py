"""The worker's values as HTCondor's configuration. Pure.

Two layers of quoting, and a value can leave neither: it is ClassAd text, and that is the right
side of a configuration macro, on one line. What neither layer can hold (control characters,
open quotes, some dollar signs) was refused before: values.py, expression.py.
"""

from typing import Dict, Mapping, NamedTuple, Tuple

HEAD = """\
# Written by `worker configure` from /etc/osg-worker.conf; edit that file, not this one.
"""
# Both daemons' ads carry the name: the slots', to see the work, and the master's.
ADVERTISED = ("STARTD_ATTRS", "MASTER_ATTRS")


class Macro(NamedTuple):
    name: str
    value: str


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


def macros(values: Mapping[str, str]) -> Tuple[Macro, ...]:
    """What the file says, but for START."""
    manager = values["CentralManager"]
    idle = int(values["IdleTimeout"])
    named = values["WorkerGroupName"]
    return (
        Macro("CONDOR_HOST", without_port(manager)),
        Macro("COLLECTOR_HOST", manager),
        *([Macro("WorkerGroupName", quoted(named))] if named else []),
        Macro("STARTD_NOCLAIM_SHUTDOWN", str(idle)),
        Macro("UPDATE_INTERVAL", str(update_interval(idle))),
    )


def start(guards: str, wanted: str) -> str:
    """Each in parentheses, so that no || of either reaches into the other."""
    return "( %s ) && ( %s )" % (guards, wanted)


def render(values: Mapping[str, str]) -> str:
    """The whole of 90-osg-worker.config."""
    lines = ["%s = %s" % (macro.name, escaped(macro.value)) for macro in macros(values)]
    if values["WorkerGroupName"]:
        lines += ["%s = $(%s) WorkerGroupName" % (attrs, attrs) for attrs in ADVERTISED]
    lines.append("START = " + start("$(WORKER_GUARDS)", escaped(values["Start"])))
    return HEAD + "\n".join(lines) + "\n"


def meant(values: Mapping[str, str], guards: str) -> Dict[str, str]:
    """How HTCondor has to read these macros back, given what the image's guards expand to."""
    return dict(macros(values), START=start(guards, values["Start"]))


def without_port(manager: str) -> str:
    """HOST of HOST, HOST:PORT and [ADDRESS]:PORT."""
    if manager.startswith("["):
        return manager[: manager.index("]") + 1]
    return manager.split(":")[0]
