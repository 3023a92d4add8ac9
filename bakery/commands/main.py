"""worker-bakery: find the command and call it. Only the module of that command is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bakery.commands.command_line import entry, program
from bakery.commands.command_line.program import COMMANDS, NAME
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

# What people may type instead, of earlier versions and of other programs.
_INSTEAD = {
    "bake-image": "bake",
    "build": "bake",
    "gen-userdata": "userdata",
    "user-data": "userdata",
    "verify-image": "verify",
    "image-diff": "diff",
    "provision": "apply",
    "list-bases": "bases",
    "prune": "cache prune",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command; 2 without a command or with an unknown one."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if words and words[0] in COMMANDS:
        code: int = program.module(words[0]).main(words[1:], f"{NAME} {words[0]}")
        return code
    return entry.run(lambda: _without_command(words), words)


def _without_command(words: Sequence[str]) -> int:
    parser = program.overview()
    if not words:
        parser.print_help(sys.stderr)
        return BadInput.exit_code
    if words[0].startswith("-"):
        parser.parse_args(words)
        parser.error("a command is missing")
    if instead := _INSTEAD.get(words[0]):
        raise BadInput(f"There is no command {words[0]}.", f"Use {NAME} {instead}.")
    hint = did_you_mean.hint([words[0]], COMMANDS, f"See {NAME} --help.")
    raise BadInput(f"There is no command {scrub(words[0])!r}.", hint)


if __name__ == "__main__":
    sys.exit(main())
