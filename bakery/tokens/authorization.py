"""Whether a collector lets a worker with a token join, and why not, in words.

`ask` contacts the collector, `judge` is pure. The reasons are in the log of HTCondor's library: the texts
are those of condor_secman.cpp, condor_auth_passwd.cpp and cedar's reli_sock.cpp (23.9 and 25.14).
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakery.tokens import collectors
from bakery.tokens.claims import Claims, format_duration, format_time, shown
from provisioner.errors import BadInput, BakeryError, CommandFailed, Unreachable
from provisioner.process import run

PORT = 9618
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 60.0
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[^:?\[\]]+))(?::(?P<port>\d+))?(?P<more>\?.*)?")
_NO_HOST = (socket.EAI_NONAME, socket.EAI_NODATA)
_FOREIGN = r"from trust domain .*? \(server trust domain is (.*?)\)"
_CLOSED = "Connection closed during command authorization"


@dataclass(frozen=True)
class Reply:
    """The reply of a daemon to a token, and the log of HTCondor's library.

    `collector` is None if the daemon does not tell what it is. `version` is X.Y.Z or "". The daemon's clock
    is `ahead` of ours by at least so many seconds, behind if negative; None if unknown.
    """

    authorized: bool
    log: str
    identity: str = ""
    version: str = ""
    collector: bool | None = True
    ahead: float | None = None


@dataclass(frozen=True)
class Verdict:
    """`reason` says why the token may not do it, `fix` what to do; both are empty if it may."""

    authorized: bool
    reason: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.reason} {self.fix}".strip()


def ask(host: str, token: str, levels: Sequence[str]) -> list[Reply]:
    """Ask the collector at HOST[:PORT][?sock=NAME] for these authorization levels; return a reply for each.

    Send no token without a subject: a collector of HTCondor 23.9 aborts. Raises BadInput: `host` is no
    address, or the daemon is no collector; Unreachable.
    """
    address = f"<{reachable(host)}>"
    asked = json.dumps({"address": address, "token": token, "levels": list(levels)}).encode()
    argv = [sys.executable, "-P", "-m", "bakery.tokens.ask_collector"]
    try:
        done = run.call(argv, stdin=asked, env=run.environment(), seconds=_ANSWER_SECONDS)
    except CommandFailed as error:
        if "timed out" in error.tail:
            raise Unreachable(
                f"{host} accepts connections, but does not answer as HTCondor does.", "Check --pool."
            ) from None
        raise
    replies = parse_replies(json.loads(done.stdout), done.stderr)
    for reply in replies:
        if wrong := no_collector(host, reply):
            raise wrong
    return replies


def parse_replies(answer: Mapping[str, Any], log: str) -> list[Reply]:
    """Return a reply for each level from the output of ask_collector."""
    *pings, query = re.split(r"^---\n", log, flags=re.MULTILINE)
    is_collector: bool | None = answer.get("collector") is True
    if not is_collector and _CLOSED not in query and not _is_other_protocol(query):
        is_collector = None  # it did not permit the question
    return [
        Reply(
            authorized=one["authorized"] is True,
            log=ping,
            identity=str(one.get("identity", "")),
            version=collectors.number_of(str(answer.get("version", ""))),
            collector=is_collector,
            ahead=answer.get("ahead"),
        )
        for one, ping in zip(answer["levels"], pings, strict=True)
    ]


def judge(claims: Claims, level: str, reply: Reply, now: float) -> Verdict:
    """Say why a collector does not authorize a token that has been found valid without its key."""
    if reply.authorized:
        return Verdict(True)
    for pattern, sentence in _REASONS:
        if found := re.search(pattern, reply.log):
            return Verdict(False, *sentence(found, claims, level))
    if "Server sent status indicating not OK" in reply.log:
        return Verdict(False, *_rejected(claims, reply, now))
    last = [line for line in reply.log.splitlines() if "ERROR" in line][-1:]
    said = f" HTCondor reports: {shown_line(last[0])}" if last else ""
    return Verdict(False, f"The collector does not accept the token.{said}")


def trust_domain_of(reply: Reply) -> str:
    """Return the collector's trust domain if it did not fit the token; else ""."""
    found = re.search(_FOREIGN, reply.log)
    return found[1] if found else ""


def shown_line(line: str) -> str:
    """Return a line of the log without its date, as printable ASCII."""
    text = re.sub(r"^\d\d/\d\d/\d\d \d\d:\d\d:\d\d (\(.*?\) )?", "", line)
    return re.sub(r"[^ -~]", "?", text)[:300]


# --- the reasons -------------------------------------------------------------------------------


def _issuer(found: re.Match[str], claims: Claims, level: str) -> tuple[str, str]:
    return (
        f"The token was issued by {shown(claims.issuer)}, but the trust domain of this collector is"
        f" {shown(found[1])}.",
        "Use a token of this pool.",
    )


def _key(found: re.Match[str], claims: Claims, level: str) -> tuple[str, str]:
    return (
        f"The token was signed with the key {shown(claims.key_name)}, which this collector does not have.",
        "Use a token of this pool, or install that key in SEC_PASSWORD_DIRECTORY of its central manager.",
    )


def _signature(found: re.Match[str], claims: Claims, level: str) -> tuple[str, str]:
    return (
        f"The signature of the token is wrong: the collector's key {shown(claims.key_name)} is another one,"
        " or the token was altered.",
        "Copy the whole token again, or get a new one: the pool may have replaced its key.",
    )


def _denied(found: re.Match[str], claims: Claims, level: str) -> tuple[str, str]:
    named = shown(found[1])
    if claims.scopes and level not in claims.scopes:
        return (
            f"The collector authenticates the token as {named}, but its scope does not include {level}.",
            f"Use a token with the scope {level}.",
        )
    return (
        f"The collector authenticates the token as {named}, but does not authorize {named} for {level}.",
        f"An administrator of the pool must add {named} to ALLOW_{level} of the collector.",
    )


def _method(found: re.Match[str], claims: Claims, level: str) -> tuple[str, str]:
    return (
        "The collector does not accept tokens (IDTOKENS).",
        "An administrator of the pool must add IDTOKENS to SEC_DEFAULT_AUTHENTICATION_METHODS.",
    )


_REASONS = (
    (_FOREIGN, _issuer),
    (r"signed with key .*? \(not known to the server\)", _key),
    (r"Hash supplied by server doesn't match", _signature),
    (r'Received "DENIED" from server for user (\S+)', _denied),
    (r"sending \(methods == 2048\) to server\n.*server replied \(method = 0\)", _method),
)


def _rejected(claims: Claims, reply: Reply, now: float) -> tuple[str, str]:
    """The collector checked the token before its signature, and does not say what is wrong."""
    ends, ahead = claims.expires, collectors.clock_differs(reply.ahead)
    if ends is not None and ahead <= 0 and now + ahead > ends:
        return (f"The token expired on {format_time(ends)}.", "Ask for a new token.")
    if ends is not None and now + ahead > ends:
        return (
            f"The token expired on {format_time(ends)} by the collector's clock, which is at least"
            f" {format_duration(ahead)} ahead of the clock of this machine.",
            "Correct the clocks (timedatectl set-ntp true).",
        )
    if not claims.payload.get("jti"):
        return ("The token has no ID (jti), which HTCondor 25 requires.", "Ask for a new token.")
    causes = ["the pool has revoked it (SEC_TOKEN_REVOCATION_EXPR)", "it is older than SEC_TOKEN_MAX_AGE"]
    if ends is not None and reply.ahead is None:
        causes.append(f"the collector's clock is more than {format_duration(ends - now)} ahead")
    return (
        f"The collector rejects the token before it verifies the signature: {', or '.join(causes)}.",
        "Ask the administrators of the pool; the collector's log has the reason.",
    )


def no_collector(host: str, reply: Reply) -> BakeryError | None:
    """Return the error for a service that is not a collector; None if it may be one."""
    if _is_other_protocol(reply.log):
        return BadInput(f"The service at {host} is not HTCondor.", "Check the host and the port of --pool.")
    if _CLOSED in reply.log:
        return BadInput(
            f"The service at {host} closes the connection: it is not HTCondor, or is not a collector.",
            "Check the host and the port of --pool.",
        )
    if reply.collector is False:
        return BadInput(
            f"The daemon at {host} is not a collector.", "Use the address of the pool's central manager."
        )
    return None


def _is_other_protocol(log: str) -> bool:
    return "Incoming packet header unrecognized" in log


# --- the network -------------------------------------------------------------------------------


def reachable(host: str) -> str:
    """Return ADDRESS:PORT[?…] of the host at the first of its addresses that accepts connections.

    Raises BadInput: `host` is no address; Unreachable: none accepts connections.
    """
    match = _ADDRESS.fullmatch(host)
    if not match:
        raise BadInput(f"{host!r} is not the address of a collector.", "Use HOST or HOST:PORT.")
    name, port = match["ipv6"] or match["name"], int(match["port"] or PORT)
    if not 0 < port < 65536:
        raise BadInput(f"{port} is not a port.", "Use a port from 1 to 65535.")
    return f"{_connected(name, port)}:{port}{match['more'] or ''}"


def _connected(name: str, port: int) -> str:
    refused: OSError = OSError()
    for address in _addresses(name):
        try:
            socket.create_connection((address, port), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            refused = error
        else:
            return f"[{address}]" if ":" in address else address
    if isinstance(refused, ConnectionRefusedError):
        raise Unreachable(
            f"{name} refuses connections to port {port}: no collector runs there.",
            "Check the host and the port of --pool.",
        )
    if isinstance(refused, TimeoutError):
        raise Unreachable(
            f"{name} does not respond at port {port} within {_CONNECT_SECONDS:g} s.",
            "Check the host, its firewall and yours.",
        )
    raise Unreachable(f"Cannot reach {name}, port {port}: {refused.strerror}.", "Check the network.")


def _addresses(name: str) -> Sequence[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno not in _NO_HOST:
            raise Unreachable(f"Cannot resolve {name}: {error.strerror}.", "Check the network.") from None
        raise Unreachable(f"There is no host {name}.", "Check --pool.") from None
    return list(dict.fromkeys(str(row[4][0]) for row in found))
