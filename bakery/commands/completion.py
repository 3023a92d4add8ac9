"""worker-bakery completion: print a completion script."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bakery.commands.command_line import entry
from bakery.commands.command_line.parser import Parser, add_help

_SHELLS = ("bash", "zsh", "fish")


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery completion") -> int:
    return entry.run(lambda: _main(argv, prog), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Print a script that completes the options and arguments of worker-bakery, bake-image and "
        "gen-userdata. The package installs the same scripts below share/, where a shell finds those of "
        "a system-wide installation; the scripts printed here suit any installation.",
        usage="SHELL",
        examples=(
            'eval "$(%(prog)s bash)"',
            "%(prog)s zsh >~/.zfunc/_worker-bakery",
            "%(prog)s fish | source",
        ),
    )
    made.add_argument("shell", choices=_SHELLS, metavar="SHELL", help="bash, zsh or fish")
    add_help(made.add_argument_group("general options"), prog)
    return made


def _main(argv: Sequence[str] | None, prog: str) -> int:
    from bakery.commands.command_line import completion

    options = parser(prog).parse_args(argv)
    sys.stdout.write(completion.script(options.shell))
    return 0


if __name__ == "__main__":
    sys.exit(main())
