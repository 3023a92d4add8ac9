"""worker-bakery token inspect: what a token says, and what is wrong with it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

from bakery.commands.command_line.parser import Parser
from bakery.commands.command_line.settings import Settings
from bakery.commands.token import common
from bakery.runtime import files
from bakery.tokens import token_file, words
from bakery.tokens.claims import Claims, claims_of, format_relative, format_time
from bakery.tokens.problems import Problem
from bakery.tokens.token_file import Judged
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

SUMMARY = "explain a token and its problems, without the signing key"
USAGE = "[options] [FILE]"
DESCRIPTION = (
    "Print the claims of a token in words, and its problems. The signature is never printed, and cannot be "
    "verified without the key; `check` asks the pool. The exit code is 0 if a worker can use the token, "
    "also with warnings, and 2 if it cannot."
)
EXAMPLES = (
    "%(prog)s token",
    "%(prog)s --pool cm.example.edu --valid-for 30d token",
    "%(prog)s --strict --json <token",
)
_COLUMN = 10


def add_options(made: Parser) -> None:
    common.add_file(made)
    made.add_argument(
        "--pool", metavar="NAME|HOST", help="judge the issuer: name or central manager of the pool"
    )
    made.add_argument("--trust-domain", default="", metavar="NAME", help="fail if another domain issued it")
    made.add_argument("--valid-for", metavar="TIME", help="fail if the token expires earlier, such as 30d")
    made.add_argument("--strict", action="store_true", help="treat warnings as errors")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Return 0 if all tokens that a worker might use are usable, else 2. Raises BadInput."""
    now = time.time()
    pool, trust_domain = _expected(options)
    needed = _needed(options.valid_for)
    found = common.read(options.file)
    judged = token_file.judge(found.lines, pool=pool, trust_domain=trust_domain, now=now)
    rows = [(one, (*one.problems, *_outlasts(one, options.valid_for, needed, now))) for one in judged]
    usable = not any(
        _fails(problems, options.strict) for problems in (found.problems, *(p for _, p in rows))
    )
    if options.json:
        common.print_result(_as_json(found, rows, usable, options.strict))
    else:
        text = "".join(f"{line}\n" for line in _text(found, rows, options, now))
        files.write_stdout(scrub(text).encode())
    return 0 if usable else BadInput.exit_code


def _expected(options: argparse.Namespace) -> tuple[str, str]:
    """Return the pool and the trust domain that must have issued the token; "" if neither is given."""
    if not options.pool:
        return "", options.trust_domain
    hosts, known = common.hosts_of(options.pool)
    return ",".join(hosts), options.trust_domain or known


def _needed(text: str | None) -> int:
    from bakery.tokens.creation import parse_lifetime

    return parse_lifetime(text) if text else 0


def _outlasts(judged: Judged, text: str | None, needed: int, now: float) -> tuple[Problem, ...]:
    claims = claims_of(judged.line.token)
    ends = claims.expires if claims else None
    if ends is None or ends <= now or ends - now >= needed:
        return ()
    message = (
        f"The token expires on {format_time(ends)}, {format_relative(ends, now)}: earlier than in {text}."
    )
    return (Problem("outlived-token", "error", message, "Get a token that is valid longer."),)


def _fails(problems: tuple[Problem, ...], strict: bool) -> bool:
    return any(strict or one.severity == "error" for one in problems)


Rows = list[tuple[Judged, tuple[Problem, ...]]]


def _text(found: common.TokenFile, rows: Rows, options: argparse.Namespace, now: float) -> Iterator[str]:
    name = "standard input" if found.name == "-" else found.name
    for one in found.problems:
        yield f"{one.severity}: {one} ({one.name})"
    for judged, problems in rows:
        bad = _fails((*found.problems, *problems), options.strict)
        where = f"{name}, line {judged.line.number}" if len(found.lines) > 1 else name
        yield f"{where}: {'not usable' if bad else 'usable'}"
        claims = claims_of(judged.line.token)
        if claims and not options.quiet:
            yield from (f"  {title:<{_COLUMN}}{text}" for title, text in words.describe(claims, now))
        for problem in problems:
            yield f"  {problem.severity}: {problem} ({problem.name})"
    if len(rows) < len(found.lines):
        yield f"{len(found.lines) - len(rows)} tokens of other issuers are not judged."


def _as_json(found: common.TokenFile, rows: Rows, usable: bool, strict: bool) -> dict[str, Any]:
    tokens = [
        {
            "line": judged.line.number,
            "usable": not _fails((*found.problems, *problems), strict),
            **_claims_as_data(claims_of(judged.line.token)),
            "problems": common.as_data(problems),
        }
        for judged, problems in rows
    ]
    return {
        "file": found.name,
        "usable": usable,
        "problems": common.as_data(found.problems),
        "tokens": tokens,
    }


def _claims_as_data(claims: Claims | None) -> dict[str, Any]:
    """Return the known claims. A claim of another service is not copied: it may be private."""
    if claims is None:
        return {}
    known = {name: claims.payload[name] for name in words.KNOWN if name in claims.payload}
    header = {name: claims.header[name] for name in ("alg", "kid") if name in claims.header}
    return {"header": header, "claims": known, "scopes": sorted(claims.scopes)}
