"""What the subcommands of token share: token files, pools, and their output."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line.parser import Parser, completed
from bakery.commands.command_line.settings import Settings
from bakery.runtime import files
from bakery.tokens import token_file
from bakery.tokens.claims import Claims, claims_of, format_relative, format_time, shown
from bakery.tokens.problems import Problem, problems_of
from provisioner.errors import BadInput
from provisioner.events import JsonLines
from provisioner.process.scrub import hide, scrub

if TYPE_CHECKING:
    from bakery.tokens.token_file import FileFacts, Line


@dataclass(frozen=True)
class TokenFile:
    """The tokens of a file; `facts` is None for standard input and pipes."""

    name: str
    lines: list[Line]
    problems: tuple[Problem, ...]
    facts: FileFacts | None = None


def add_file(made: Parser) -> None:
    given = made.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="token file; - is standard input (default)"
    )
    completed(given, "file")


def add_output(made: Parser, text: str = "write the token to FILE, with mode 0600") -> None:
    completed(made.add_argument("-o", "--output", metavar="FILE", help=text), "file")


def read(name: str) -> TokenFile:
    """Read a token file; "-" is standard input. Raises BadInput."""
    if name != "-":
        refuse_token(name, "FILE")
    if name == "-" and sys.stdin and sys.stdin.isatty():
        print("Paste the token, then press Enter and Ctrl-D.", file=sys.stderr)
    path = Path(name)
    data = files.read_stdin(token_file.LIMIT) if name == "-" else files.read_limited(path, token_file.LIMIT)
    facts = None if name == "-" else token_file.facts_of(path)
    lines = token_file.lines_of(data)
    for line in lines:
        hide(line.token)
    return TokenFile(name, lines, tuple(token_file.problems_of_file(facts, data)), facts)


def refuse_token(text: str, what: str) -> None:
    """Raise BadInput if an argument is a token: other users see the command line."""
    if scrub(text) != text:
        raise BadInput(
            f"{what} is the name of a file, not a token.",
            "Write the token to a file with mode 0600, or to standard input.",
        )


def output_path(options: argparse.Namespace) -> Path:
    """Return the path of -o. Raises BadInput: there is none, or it cannot be written."""
    if options.output in (None, "", "-"):
        raise BadInput("-o FILE is required: a token is not written to standard output.")
    refuse_token(options.output, "-o")
    path = Path(options.output)
    if path.is_dir():
        raise BadInput(f"{path} is a folder.", "Give the name of a file.")
    if not path.parent.is_dir():
        raise BadInput(f"There is no folder {path.parent}.", "Create it first: mkdir -m 700.")
    files.refuse_special(path)
    return path


def refuse_input(output: Path, *inputs: str | None) -> None:
    """Raise BadInput if the output is one of the input files: a signing key must not be overwritten."""
    for name in inputs:
        if name and name != "-" and output.exists() and Path(name).exists() and output.samefile(name):
            raise BadInput(f"{output} is an input file.", "Choose another path for the output.")


def hosts_of(pool: str) -> tuple[tuple[str, ...], str]:
    """Return the central managers of a pool and its trust domain ("": unknown). Raises BadInput."""
    from bakery.userdata import pools

    if found := pools.find(pool):
        return found.managers, found.trust_domain
    hosts = tuple(one.strip() for one in pool.split(",") if one.strip())
    if not hosts or any(re.search(r"[^!-~]", one) for one in hosts):
        raise BadInput("--pool is not the address of a collector.", "Use HOST or HOST:PORT.")
    known = pools.of_managers(pool, pools.known())
    return hosts, known.trust_domain if known else ""


def write(path: Path, token: str) -> None:
    files.write_private(path, token.encode() + b"\n")


def save(options: argparse.Namespace, path: Path, token: str) -> None:
    """Write a token that somebody else issued, and report its problems, identity and validity."""
    now, claims = time.time(), claims_of(token)
    assert claims  # else it was refused
    write(path, token)
    for problem in problems_of(token, now=now):
        tell(options, "warning", f"{problem} ({problem.name})")
    if options.json:
        print_result({"file": str(path), "identity": claims.subject, "expires": claims.payload.get("exp")})
    else:
        who = f"a token of {shown(claims.subject)}, valid {validity(claims, now)}"
        tell(options, "note", f"Wrote {path}, {who}; only its owner can read it.")


def validity(claims: Claims, now: float) -> str:
    """Say until when a token is valid."""
    ends = claims.expires
    return "for ever" if ends is None else f"until {format_time(ends)} ({format_relative(ends, now)})"


def tell(options: argparse.Namespace, event: str, text: str) -> None:
    """Print a line on stderr: a warning always, a note unless --quiet."""
    if options.quiet and event == "note":
        return
    if options.json:
        JsonLines().emit({"event": event, "text": scrub(text)})
    else:
        print(f"{event}: {scrub(text)}", file=sys.stderr)


def print_result(result: dict[str, Any]) -> None:
    files.write_stdout(scrub(json.dumps(result)).encode() + b"\n")


def as_data(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """Return problems for JSON."""
    return [
        {"name": one.name, "severity": one.severity, "message": one.message, "fix": one.fix}
        for one in problems
    ]


def secret(option: str | None, variable: str, prompt: str) -> str:
    """Return a secret of a file (- is standard input), an environment variable, or a prompt.

    Raises BadInput: there is none, or other users can read the file.
    """
    if option is not None:
        refuse_token(option, "The option")
        raw = files.read_stdin(token_file.LIMIT) if option == "-" else _of_file(Path(option))
        return raw.decode("utf-8-sig", "replace").strip()
    if os.environ.get(variable, "").strip():
        return os.environ[variable].strip()
    if not (sys.stdin and sys.stdin.isatty()):
        raise BadInput(
            "The token of the user is required.", f"Use --user-token-file FILE or the variable {variable}."
        )
    import getpass

    try:
        return getpass.getpass(prompt).strip()
    except EOFError:
        raise BadInput("The token of the user is required.", f"Paste it, or set {variable}.") from None


def _of_file(path: Path) -> bytes:
    data = files.read_limited(path, token_file.LIMIT)
    if files.is_world_readable(path):
        raise BadInput(f"All users of this machine can read {path}.", f"Run: chmod 600 {path}")
    return data


def pool_of(options: argparse.Namespace, settings: Settings) -> str:
    """Return the pool of --pool, or of the user's settings. Raises BadInput: there is none."""
    found = str(options.pool or settings.pool.value)
    if not found:
        raise BadInput("--pool is required.", "Use --pool HOST, or the name of a pool.")
    return found
