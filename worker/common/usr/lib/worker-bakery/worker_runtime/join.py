"""Why is this worker not in the pool? Asked in the order in which things go wrong, in words."""

import re
import socket
import time
from typing import Optional

from worker_runtime import files, token
from worker_runtime.condor import without_port
from worker_runtime.program import UNENDED, Ended, ended

PORT = 9618
SECONDS = 10
_DENIED = re.compile(r'Received "DENIED" from server for user (\S+)')


def problem(manager: str, token_file: str) -> Optional[str]:
    """What stands between this worker and the pool; None if nothing is to be seen."""
    secret = files.text(token_file).strip()
    claimed = token.claims(secret)
    unreached = unreachable(manager)
    if unreached:
        return unreached
    late = token.out_of_time(claimed, time.time())
    if late:
        return late
    return of_ping(manager, ping(manager), issuer=str(claimed.get("iss", "an unknown issuer")))


def unreachable(manager: str) -> Optional[str]:
    """Is its name known, and does anybody listen there?"""
    host, port = without_port(manager).strip("[]"), port_of(manager)
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return "the name %s of the pool cannot be resolved (%s)" % (host, error.strerror)
    last = ""
    for family, sort, protocol, _, address in addresses:
        try:
            with socket.socket(family, sort, protocol) as probe:
                probe.settimeout(SECONDS)
                probe.connect(address)
                return None
        except socket.timeout:
            last = "does not answer within %d s (a firewall?)" % SECONDS
        except OSError as error:
            last = "cannot be reached: %s" % error.strerror
    return "port %d of %s %s" % (port, host, last)


def port_of(manager: str) -> int:
    after = manager[len(without_port(manager)) :]
    return int(after[1:]) if after.startswith(":") else PORT


def ping(manager: str) -> Ended:
    """HTCondor's own try to be let in as a startd, with the token that the daemons use."""
    argv = ["condor_ping", "-verbose", "-type", "collector", "-pool", manager, "ADVERTISE_STARTD"]
    only = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS"}
    return ended(argv, 3 * SECONDS, env=only, together=True)


def of_ping(manager: str, answer: Ended, issuer: str) -> Optional[str]:
    """What the answer means. (The words were read off HTCondor 23.9.)"""
    if answer.status == 0:
        return None
    denied = _DENIED.search(answer.out)
    if denied:
        return "%s knows the token as %s, but does not let that advertise a worker" % (
            manager,
            denied.group(1),
        )
    if "AUTHENTICATE" in answer.out:
        return "%s rejected the token (issued by %s)" % (manager, issuer)
    if answer.status == UNENDED:
        return "%s took the connection, but did not answer as a collector does" % manager
    first = answer.out.strip().splitlines()
    return "%s does not let this worker in: %s" % (manager, first[-1] if first else "no reason given")
