"""worker-bakery fleet: launch workers on an OpenStack cloud, list them beside their pool, delete them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, add_help, add_verb, add_verbs
from bakery.commands.command_line.settings import NO_SETTINGS, Settings
from bakery.commands.fleet import delete, export, launch, listing, reap, replace, scale

_VERBS = {
    "launch": launch,
    "list": listing,
    "reap": reap,
    "scale": scale,
    "replace": replace,
    "delete": delete,
    "export": export,
}


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery fleet") -> int:
    return entry.run(lambda: _main(argv, prog), argv)


def _main(argv: Sequence[str] | None, prog: str) -> int:
    entry.interrupt_at_hangup()
    found = settings.load()
    options: argparse.Namespace = parser(prog, found).parse_args(argv)
    code: int = _VERBS[options.verb].run(options, found)
    return code


def parser(prog: str, settings: Settings = NO_SETTINGS) -> Parser:
    made = Parser(
        prog,
        "Launch workers on an OpenStack cloud, list them beside their pool, and delete those that have "
        "shut down: clouds charge a server until it is deleted. Only servers that this command launched "
        "are listed or deleted. The cloud is one of clouds.yaml.",
        usage="COMMAND [options]",
        examples=(
            "%(prog)s launch --image osg --flavor m3.tiny --count 9 --anyone",
            "%(prog)s list --cloud mycloud --group mine",
            "%(prog)s reap --cloud mycloud --yes",
        ),
    )
    verbs = add_verbs(made, prog)
    for name, module in _VERBS.items():
        verb = add_verb(verbs, name, module)
        module.add_options(verb, settings)
        add_general(verb)
    add_help(made.add_argument_group("general options"), prog)
    return made


if __name__ == "__main__":
    sys.exit(main())
