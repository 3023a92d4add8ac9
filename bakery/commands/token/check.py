"""worker-bakery token check: ask a collector whether a worker with this token may join."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line.parser import Parser, completed
from bakery.commands.command_line.settings import Settings
from bakery.commands.token import common
from bakery.tokens import token_file
from bakery.tokens.claims import claims_of, shown
from bakery.tokens.problems import Problem
from provisioner.errors import BadInput, Unreachable
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from bakery.tokens.authorization import Reply
    from bakery.tokens.token_file import Judged

SUMMARY = "ask a pool whether a worker with this token may join"
USAGE = "[options] [FILE]"
DESCRIPTION = (
    "Authenticate to the collector of a pool with a token, and ask whether it authorizes a worker to join; "
    "nothing is advertised. The exit code is 0 if it does, 2 if it does not, and 5 if there is no answer."
)
EXAMPLES = (
    "%(prog)s token --pool cm.example.edu",
    "%(prog)s --pool cm.example.edu:9619 --authz READ <token",
)
_LEVELS = ("ADVERTISE_STARTD", "ADVERTISE_MASTER")
# A token that must not be sent, or cannot be.
_NOT_SENT = frozenset({"nameless-token", "malformed-token", "placeholder-token"})


def add_options(made: Parser) -> None:
    common.add_file(made)
    pool = made.add_argument(
        "--pool", metavar="NAME|HOST", help="pool to ask (default: that of the configuration file)"
    )
    completed(pool, "pools")
    made.add_argument(
        "--authz",
        action="append",
        metavar="LEVEL",
        help=f"authorization level to ask for; repeatable (default: {', '.join(_LEVELS)})",
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Return 0 if the collector authorizes the token for all levels, else 2.

    Raises BadInput, Unreachable.
    """
    from bakery.tokens import creation

    now = time.time()
    levels = creation.check_scopes(options.authz or _LEVELS)
    hosts, trust_domain = common.hosts_of(common.pool_of(options, settings))
    found = common.read(options.file)
    judged = token_file.judge(found.lines, trust_domain=trust_domain, now=now)
    for problem in found.problems:
        common.tell(options, "warning", f"{problem} ({problem.name})")
    sendable = [one for one in judged if not unsendable(one)]
    if not sendable:
        wrong = unsendable(judged[0])[0]
        return _print(options, hosts[0], [(level, False, str(wrong)) for level in levels], None)
    host, used, answers = _asked(options, hosts, sendable, levels)
    rows = [_row(used, level, reply, now) for level, reply in answers]
    _tell_daemon(options, answers[0][1])
    return _print(options, host, rows, answers[0][1])


def unsendable(judged: Judged) -> list[Problem]:
    """Return the problems for which a token must not be sent to a collector."""
    return [one for one in judged.problems if one.severity == "error" and one.name in _NOT_SENT]


def _asked(
    options: argparse.Namespace, hosts: Sequence[str], tokens: Sequence[Judged], levels: Sequence[str]
) -> tuple[str, Judged, list[tuple[str, Reply]]]:
    """Ask with the token that HTCondor uses: the first whose issuer is the collector's trust domain."""
    from bakery.tokens import authorization

    host, answers = _answers(options, hosts, tokens[0].line.token, levels)
    trust_domain = authorization.trust_domain_of(answers[0][1])
    for judged in tokens[1:]:
        claims = claims_of(judged.line.token)
        if trust_domain and claims and claims.issuer == trust_domain:
            return host, judged, _answers(options, [host], judged.line.token, levels)[1]
    return host, tokens[0], answers


def _answers(
    options: argparse.Namespace, hosts: Sequence[str], token: str, levels: Sequence[str]
) -> tuple[str, list[tuple[str, Reply]]]:
    """Ask the first central manager that responds. Raises Unreachable: none does; BadInput."""
    from bakery.tokens import authorization

    for host in hosts:
        try:
            return host, list(zip(levels, authorization.ask(host, token, levels), strict=True))
        except Unreachable as error:
            if host == hosts[-1]:
                raise
            common.tell(options, "warning", f"{error} Asking the next central manager.")
    raise BadInput("--pool names no host.")


def _row(judged: Judged, level: str, reply: Reply, now: float) -> tuple[str, bool, str]:
    from bakery.tokens import authorization

    claims = claims_of(judged.line.token)
    assert claims  # else it was not sent
    verdict = authorization.judge(claims, level, reply, now)
    expired = [one for one in judged.problems if one.name == "expired-token"]
    if expired and not verdict.authorized:
        return level, False, str(expired[0])
    return level, verdict.authorized, str(verdict)


def _tell_daemon(options: argparse.Namespace, reply: Reply) -> None:
    from bakery.tokens import collectors

    for text in (
        collectors.clock_text(collectors.clock_differs(reply.ahead)),
        collectors.old_text(reply.version),
    ):
        if text:
            common.tell(options, "warning", text)


def _print(
    options: argparse.Namespace, host: str, rows: Sequence[tuple[str, bool, str]], reply: Reply | None
) -> int:
    if options.json:
        common.print_result(_as_json(host, rows, reply))
    else:
        _print_lines(host, rows, reply)
    return 0 if all(authorized for _, authorized, _ in rows) else BadInput.exit_code


def _as_json(host: str, rows: Sequence[tuple[str, bool, str]], reply: Reply | None) -> dict[str, Any]:
    levels = [
        {"level": level, "authorized": authorized, "reason": reason} for level, authorized, reason in rows
    ]
    return {
        "collector": host,
        "version": reply.version if reply else "",
        "identity": reply.identity if reply else "",
        "authorized": all(authorized for _, authorized, _ in rows),
        "levels": levels,
    }


def _print_lines(host: str, rows: Sequence[tuple[str, bool, str]], reply: Reply | None) -> None:
    version = f" (HTCondor {reply.version})" if reply and reply.version else ""
    identity = f" as {shown(reply.identity)}" if reply and reply.identity else ""
    if not reply:
        print(f"{host} was not asked.")
    for level, authorized, reason in rows:
        if authorized:
            print(f"{level}: {host}{version} authorizes the token{identity}")
        else:
            print(scrub(f"{level}: not authorized. {reason}"))
    sys.stdout.flush()
