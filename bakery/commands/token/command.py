"""worker-bakery token: explain, issue, obtain and try the tokens with which workers join a pool."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, add_help, add_verb, add_verbs
from bakery.commands.token import check, create, fetch, inspect, request

_VERBS = {"inspect": inspect, "create": create, "fetch": fetch, "request": request, "check": check}


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery token") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def _main(options: argparse.Namespace) -> int:
    code: int = _VERBS[options.verb].run(options, settings.load())
    return code


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Explain, issue, obtain and try the tokens (HTCondor IDTOKENs) with which workers join a pool. A "
        "token is never printed, and every file with a token is written with mode 0600.",
        usage="COMMAND [options]",
        examples=(
            "%(prog)s inspect token",
            "%(prog)s create --identity w@cloud --issuer cm.example.edu -o token",
            "%(prog)s check token --pool cm.example.edu",
        ),
    )
    verbs = add_verbs(made, prog)
    for name, module in _VERBS.items():
        verb = add_verb(verbs, name, module)
        module.add_options(verb)
        add_general(verb)
    add_help(made.add_argument_group("general options"), prog)
    return made


if __name__ == "__main__":
    sys.exit(main())
