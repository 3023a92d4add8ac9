"""Observes the worker through systemd and HTCondor, each question with a time limit."""

import json
import re
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from worker_runtime.configuration import servers
from worker_runtime.lifecycle.exit_reason import is_idle_exit
from worker_runtime.system import paths, systemd
from worker_runtime.system.command import run
from worker_runtime.system.systemd import CONDOR_UNIT, parse_properties

SECONDS = 20
STARTD_ADDRESS = paths.LOG + "/.startd_address"
HEALTHY = "NODE_IS_HEALTHY"  # the attribute that `worker health` prints
_FREE = ("Owner", "Unclaimed", "Drained", "Backfill", "Delete")
# The name of a startd at its shared port, which is unique among all machines.
_SOCKET = re.compile(r"[?&]sock=([A-Za-z0-9_.-]+)")


class Slots(NamedTuple):
    """What the startd reports.

    The number of claimed slots; the identity of the startd, from its address; whether it considers the
    machine healthy (None: it does not know yet); and the names of its slots.
    """

    claimed: int
    startd: str
    healthy: Optional[bool] = None
    names: Tuple[str, ...] = ()


def condor_unit() -> Dict[str, str]:
    """The properties of HTCondor's unit; empty if systemd does not answer."""
    return systemd.properties(CONDOR_UNIT, "ActiveState", "Job", "ExecMainCode", "ExecMainStatus")


def is_exiting(unit: Dict[str, str]) -> bool:
    """Whether condor_master exited by itself while a process of a job hangs and cannot be killed.

    systemd waits for minutes in this case, then reports a failure and would start HTCondor again.
    """
    return unit.get("ActiveState") == "deactivating" and is_idle_exit(unit)


def slots() -> Optional[Slots]:
    """What the startd itself reports; None if it does not answer."""
    address = _first_line(STARTD_ADDRESS)
    if not address:
        return None
    wanted = "Name,State," + HEALTHY
    output = _output(["condor_status", "-direct", address, "-json", "-attributes", wanted])
    return parse_slots(output, address)


def parse_slots(output: Optional[str], address: str) -> Optional[Slots]:
    """Parse the output of condor_status -json."""
    ads = _parse_ads(output)
    if not ads:
        return None
    named = _SOCKET.search(address)
    claimed = sum(ad.get("State") not in _FREE for ad in ads)
    healthy = next((ad[HEALTHY] for ad in ads if isinstance(ad.get(HEALTHY), bool)), None)
    names = tuple(str(ad.get("Name")) for ad in ads)
    return Slots(claimed, named.group(1) if named else address, healthy, names)


class PoolAds(NamedTuple):
    """What the pool shows of this very startd."""

    known: bool  # whether there are ads of it
    ads: Tuple[Dict[str, Any], ...]  # of its slots, as far as they can be parsed


def query_pool(managers: Sequence[str], mine: Slots, attributes: Sequence[str]) -> Optional[PoolAds]:
    """The ads of the first manager that shows this startd; otherwise any answer; None if there is none."""
    answer = None
    for manager in managers:
        shown = query_collector(servers.without_socket(manager), mine, attributes)
        if shown and shown.known:
            return shown
        answer = answer or shown
    return answer


def query_collector(manager: str, mine: Slots, attributes: Iterable[str]) -> Optional[PoolAds]:
    """What this collector shows of this very startd; None if it does not answer."""
    if mine.startd.startswith("<"):
        return None  # without a shared port, nothing identifies this startd
    same = 'regexp("[?&]sock=%s[&>]", MyAddress)' % mine.startd
    wanted = ",".join(["Name", *attributes])
    output = _output(["condor_status", "-pool", manager, "-const", same, "-json", "-attributes", wanted])
    return None if output is None else parse_pool_ads(output, mine)


def parse_pool_ads(output: str, mine: Slots) -> PoolAds:
    """Parse the output of condor_status -json about this startd.

    The pool may still show a slot that has ended, as it was, for up to 15 minutes.
    """
    ads = (ad for ad in _parse_ads(output) if ad.get("Name") in mine.names)
    # An attribute that cannot be parsed must not make the worker believe that it is not in the pool.
    return PoolAds('"Name"' in output, tuple(ads))


def logins() -> Tuple[str, ...]:
    """The names of the users who are logged in; empty if systemd-logind does not run."""
    listed = _output(["loginctl", "list-sessions", "--no-legend"]) or ""
    found = (_login(row.split()[0]) for row in listed.splitlines() if row.strip())
    return tuple(sorted({name for name in found if name}))


def _login(session: str) -> str:
    shown = _output(["loginctl", "show-session", session, "-p", "Class", "-p", "Name", "-p", "State"])
    return parse_login(parse_properties(shown or ""))


def parse_login(session: Dict[str, str]) -> str:
    """The name of a person's session; "" for sessions of cron and the like, and for closing sessions."""
    person = session.get("Class") in ("user", "user-light", "user-early")
    return session.get("Name", "") if person and session.get("State") != "closing" else ""


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _parse_ads(output: Optional[str]) -> List[Dict[str, Any]]:
    try:
        found = json.loads(output or "[]")
    except ValueError:
        return []
    return [ad for ad in found if isinstance(ad, dict)] if isinstance(found, list) else []


def _output(argv: Sequence[str]) -> Optional[str]:
    """The output of a program; None if it failed or exceeded the time limit."""
    done = run(argv, SECONDS, env={"_CONDOR_QUERY_TIMEOUT": "10"})
    return done.out if done.status == 0 else None
