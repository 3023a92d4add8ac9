"""Finds out why a manager or a broker of the pool does not accept the worker, and says it in words.

For each server the checks run in the order in which problems occur. All servers are checked at the same
time, because a server behind a firewall takes long.
"""

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

from worker_runtime.configuration import servers, token
from worker_runtime.configuration.servers import Server
from worker_runtime.system import files
from worker_runtime.system.command import NOT_COMPLETED, Completed, run

SECONDS = 10
_DENIED = re.compile(r'Received "DENIED" from server for user (\S+)')
# How old an answer may be for a worker in the pool: a good one, a bad one, and one that a client waits for.
_MAX_AGE_OK, _MAX_AGE_PROBLEM, _MAX_AGE_REQUESTED = 300.0, 60.0, 10.0


class Answers(NamedTuple):
    """What was found out about each server, and when."""

    servers: Tuple[Server, ...] = ()
    problems: Tuple[str, ...] = ()  # in the same order; "": no problem
    at: float = 0.0

    @property
    def pairs(self) -> Tuple[Tuple[Server, str], ...]:
        return tuple(zip(self.servers, self.problems))  # noqa: B905  # strict= is too new

    @property
    def failures(self) -> Tuple[str, ...]:
        return tuple(problem for problem in self.problems if problem)


def ask_all(asked: Sequence[Server], token_file: str, trust_domain: str, at: float) -> Answers:
    """Ask all servers now; `at` is time.monotonic()."""
    claimed = token.claims(files.read_text(token_file).strip())
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as threads:
        addresses = list(threads.map(lambda one: server_problem(one, claimed, trust_domain), asked))
    return Answers(tuple(asked), tuple(addresses), at)


def is_due(last: Answers, asked: Sequence[Server], now: float, wanted: bool) -> bool:
    """Whether a worker in the pool should ask again; `wanted`: a client waits for the answer. Pure."""
    if last.servers != tuple(asked) or not last.at:
        return True
    least = _MAX_AGE_REQUESTED if wanted else _MAX_AGE_PROBLEM if last.failures else _MAX_AGE_OK
    return now - last.at >= least


def obstacle(addresses: Answers) -> str:
    """Why no manager accepts the worker; "" if at least one does. Pure."""
    return _if_all([text for one, text in addresses.pairs if not one.is_broker])


def broker_problem(addresses: Answers) -> str:
    """Why no server brokers connections to the worker, which jobs need; "" if one does. Pure."""
    return _if_all([text for one, text in addresses.pairs if one.is_broker])


def _if_all(problems: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(problems)) if all(problems) else ""


def server_problem(server: Server, claimed: Mapping[str, Any], trust_domain: str) -> str:
    """What prevents the worker from using this server; "" if nothing is known."""
    unreached = unreachable(server.address)
    late = None if unreached else token.time_problem(claimed, time.time())
    if late:
        return late
    problem = unreached or ping_problem(
        server.address, ping(server.address), issuer_text(claimed, trust_domain)
    )
    return "connection broker: %s" % problem if problem and server.is_broker else problem or ""


def issuer_text(claimed: Mapping[str, Any], trust_domain: str) -> str:
    """The issuer of the token, and the one that the pool accepts if that is known to be different."""
    issuer = str(claimed.get("iss", "an unknown issuer"))
    return issuer if trust_domain in ("", issuer) else "%s, not %s" % (issuer, trust_domain)


def unreachable(address: str) -> Optional[str]:
    """Why the server cannot be reached: by its name, or at its port; None if it can."""
    host, port = servers.host_of(address).strip("[]"), servers.port_of(address)
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return "the name %s of the pool cannot be resolved (%s)" % (host, error.strerror)
    last = ""
    for family, sort, protocol, _, address_info in addresses:
        try:
            with socket.socket(family, sort, protocol) as probe:
                probe.settimeout(SECONDS)
                probe.connect(address_info)
                return None
        except socket.timeout:
            last = "does not answer within %d s (a firewall?)" % SECONDS
        except OSError as error:
            last = "cannot be reached: %s" % error.strerror
    return "port %d of %s %s" % (port, host, last)


def ping(address: str) -> Completed:
    """Try to authenticate to HTCondor as a startd, with the token that the daemons use.

    A broker accepts everybody who may advertise a startd. (CCB_REGISTER in src/ccb/ccb_server.cpp.)
    """
    argv = ["condor_ping", "-verbose", "-type", "collector", "-pool", address, "ADVERTISE_STARTD"]
    only = {"_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS"}
    return run(argv, 3 * SECONDS, env=only, merge_stderr=True)


def ping_problem(address: str, answer: Completed, issuer: str) -> Optional[str]:
    """What the output of condor_ping means; None if it succeeded. (Texts of HTCondor 23.9.)"""
    if answer.status == 0:
        return None
    denied = _DENIED.search(answer.out)
    if denied:
        return "%s knows the token as %s, but does not let that advertise a worker" % (
            address,
            denied.group(1),
        )
    if "AUTHENTICATE" in answer.out:
        return "%s rejected the token (issued by %s)" % (address, issuer)
    if answer.status == NOT_COMPLETED:
        return "%s took the connection, but did not answer as a collector does" % address
    if "Connection closed" in answer.out:
        return "%s took the connection and closed it: its collector does not run" % address
    first = answer.out.strip().splitlines()
    return "%s does not let this worker in: %s" % (address, first[-1] if first else "no reason given")
