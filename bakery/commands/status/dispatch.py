"""worker-bakery status: the table of workers, or one of its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, add_verb, add_verbs
from bakery.commands.status import command, plot, why
from provisioner.errors import BadInput

_VERBS = {"plot": plot, "why": why}


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery status") -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    return entry.run(lambda: _main(words, prog), words)


def _main(words: Sequence[str], prog: str) -> int:
    """A subcommand is the first word: options before it would be those of the table."""
    options = parser(prog).parse_args(words)
    if not options.verb:
        return command.run(options)
    if words[0] != options.verb:
        raise BadInput(
            f"Options of {prog} {options.verb} follow its name.", f"Write {prog} {options.verb} first."
        )
    code: int = _VERBS[options.verb].run(options, settings.load())
    return code


def parser(prog: str) -> Parser:
    made = command.parser(prog)
    verbs = add_verbs(made, prog, required=False)
    for name, module in _VERBS.items():
        verb = add_verb(verbs, name, module)
        module.add_options(verb)
        add_general(verb)
    return made


if __name__ == "__main__":
    sys.exit(main())
