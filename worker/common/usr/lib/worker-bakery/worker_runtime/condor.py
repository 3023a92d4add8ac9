"""The worker's values as HTCondor's configuration. Pure.

Two layers of quoting, and a value can leave neither: it is text within a ClassAd, and that is
the value of a configuration macro, on one line. Control characters, open quotes and backslashes
outside of quotes were refused before (values.py, expression.py); what is left is the dollar
sign. HTCondor's own way to write one, $(DOLLAR), is not reliable: $(DOLLAR)$(DOLLAR)(X) gives
$$(DOLLAR)(X), and $(DOLLAR)(DOLLAR)(X) gives $(X). But it can only stand within quotes, where
ClassAds know it by its number as well; so none of ours ever meets the macros.
"""

import re
from typing import Dict, Mapping, Match, NamedTuple, Tuple

HEAD = """\
# Written by `worker configure` from /etc/osg-worker.conf; edit that file, not this one.
"""
# Both daemons' ads carry the name: the slots', to see the work, and the master's.
ADVERTISED = ("STARTD_ATTRS", "MASTER_ATTRS")
# A backslash and what it escapes belong together: in \\$ the dollar sign is not escaped.
_PIECE = re.compile(r"\\.|\$")


class Macro(NamedTuple):
    name: str
    value: str


def quoted(text: str) -> str:
    """A ClassAd string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped(classad: str) -> str:
    """The same ClassAd text without a dollar sign."""
    return _PIECE.sub(_without_dollar, classad)


def _without_dollar(piece: Match[str]) -> str:
    return "\\044" if piece.group() in ("$", "\\$") else piece.group()


def update_interval(idle: int) -> int:
    """HTCondor looks for idleness only when it sends an update, by default each 300 s."""
    return min(60, max(10, idle // 4)) if idle else 60


def macros(values: Mapping[str, str], guards: str) -> Tuple[Macro, ...]:
    """What the file says, behind the image's guards."""
    manager = values["CentralManager"]
    idle = int(values["IdleTimeout"])
    named = values["WorkerGroupName"]
    return (
        Macro("CONDOR_HOST", without_port(manager)),
        Macro("COLLECTOR_HOST", manager),
        *([Macro("WorkerGroupName", escaped(quoted(named)))] if named else []),
        Macro("STARTD_NOCLAIM_SHUTDOWN", str(idle)),
        Macro("UPDATE_INTERVAL", str(update_interval(idle))),
        Macro("START", "( %s ) && ( %s )" % (guards, escaped(values["Start"]))),
    )


def render(values: Mapping[str, str]) -> str:
    """The whole of 90-osg-worker.config."""
    lines = ["%s = %s" % macro for macro in macros(values, "$(WORKER_GUARDS)")]
    if values["WorkerGroupName"]:
        lines += ["%s = $(%s) WorkerGroupName" % (attrs, attrs) for attrs in ADVERTISED]
    return HEAD + "\n".join(lines) + "\n"


def meant(values: Mapping[str, str], guards: str) -> Dict[str, str]:
    """How HTCondor has to read these macros back, given what the image's guards expand to."""
    return dict(macros(values, guards))


def without_port(manager: str) -> str:
    """HOST of HOST, HOST:PORT and [ADDRESS]:PORT."""
    if manager.startswith("["):
        return manager[: manager.index("]") + 1]
    return manager.split(":")[0]
