"""What there is to see of this worker, asked of systemd and HTCondor, each within a time limit."""

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
# The shared port's name of a startd: no two are alike, on no machine.
_SOCKET = re.compile(r"[?&]sock=([A-Za-z0-9_.-]+)")


class Slots(NamedTuple):
    """What the startd said: how many slots are claimed; which one it is, by its address; and whether it
    finds the machine healthy (None: it has not looked yet)."""

    claimed: int
    startd: str
    healthy: Optional[bool] = None


def condor_unit() -> Dict[str, str]:
    """What systemd knows of HTCondor's unit; nothing if even systemd does not answer."""
    return systemd.properties(CONDOR_UNIT, "ActiveState", "Job", "ExecMainCode", "ExecMainStatus")


def is_exiting(unit: Dict[str, str]) -> bool:
    """Has condor_master ended by itself, while something of a job's hangs and cannot be ended?

    systemd waits minutes for that, calls it a failure then, and would start HTCondor again.
    """
    return unit.get("ActiveState") == "deactivating" and is_idle_exit(unit)


def slots() -> Optional[Slots]:
    """The startd's own answer; None if it gives none."""
    address = _first_line(STARTD_ADDRESS)
    if not address:
        return None
    wanted = "Name,State," + HEALTHY
    said = _output(["condor_status", "-direct", address, "-json", "-attributes", wanted])
    return parse_slots(said, address)


def parse_slots(said: Optional[str], address: str) -> Optional[Slots]:
    ads = _parse_ads(said)
    if not ads:
        return None
    named = _SOCKET.search(address)
    claimed = sum(ad.get("State") not in _FREE for ad in ads)
    healthy = next((ad[HEALTHY] for ad in ads if isinstance(ad.get(HEALTHY), bool)), None)
    return Slots(claimed, named.group(1) if named else address, healthy)


class PoolAds(NamedTuple):
    """What the pool said of this very startd."""

    known: bool  # there are ads of it
    ads: Tuple[Dict[str, Any], ...]  # with the attributes that were asked for, if they can be read


def query_pool(managers: Sequence[str], mine: Slots, attributes: Sequence[str]) -> Optional[PoolAds]:
    """What the first of them says that shows this very startd; else what any says; None if none does."""
    answer = None
    for manager in managers:
        shown = query_collector(servers.without_socket(manager), mine, attributes)
        if shown and shown.known:
            return shown
        answer = answer or shown
    return answer


def query_collector(manager: str, mine: Slots, attributes: Iterable[str]) -> Optional[PoolAds]:
    """What the pool shows of this very startd; None if the pool does not say."""
    if mine.startd.startswith("<"):
        return None  # without a shared port there is nothing that only this startd has
    same = 'regexp("[?&]sock=%s[&>]", MyAddress)' % mine.startd
    wanted = ",".join(["Name", *attributes])
    said = _output(["condor_status", "-pool", manager, "-const", same, "-json", "-attributes", wanted])
    # A worker is not to leave a pool that it is in because some attribute there cannot be read.
    return None if said is None else PoolAds('"Name"' in said, tuple(_parse_ads(said)))


def logins() -> Tuple[str, ...]:
    """Who is logged in, a word each; nobody where systemd-logind does not run."""
    listed = _output(["loginctl", "list-sessions", "--no-legend"]) or ""
    found = (_login(row.split()[0]) for row in listed.splitlines() if row.strip())
    return tuple(sorted({name for name in found if name}))


def _login(session: str) -> str:
    shown = _output(["loginctl", "show-session", session, "-p", "Class", "-p", "Name", "-p", "State"])
    return parse_login(parse_properties(shown or ""))


def parse_login(session: Dict[str, str]) -> str:
    """The name of the person whose session it is; "" for cron's and such, and for one that ends."""
    person = session.get("Class") in ("user", "user-light", "user-early")
    return session.get("Name", "") if person and session.get("State") != "closing" else ""


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _parse_ads(said: Optional[str]) -> List[Dict[str, Any]]:
    try:
        found = json.loads(said or "[]")
    except ValueError:
        return []
    return [ad for ad in found if isinstance(ad, dict)] if isinstance(found, list) else []


def _output(argv: Sequence[str]) -> Optional[str]:
    """What a program printed; None if it failed or did not end in time."""
    done = run(argv, SECONDS, env={"_CONDOR_QUERY_TIMEOUT": "10"})
    return done.out if done.status == 0 else None
