"""The argument parser of every command, and the options that all commands have."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import takewhile
from types import ModuleType
from typing import Any, NoReturn

from bakery import __version__
from bakery.commands.command_line import terminal
from provisioner import did_you_mean
from provisioner.process.scrub import scrub

_COLUMN = 26  # where the help texts begin
_MOST_CHOICES = 12  # that an error message lists


class Parser(argparse.ArgumentParser):
    """A parser that suggests the correct spelling, and never prints a token that it was given.

    `usage` follows the name of the command. `examples` are command lines, shown at the end of --help;
    in them, %(prog)s is the name of the command.
    """

    _given: Sequence[str] = ()

    def __init__(
        self,
        prog: str,
        description: str = "",
        *,
        usage: str = "[options]",
        examples: Sequence[str] = (),
    ) -> None:
        super().__init__(
            prog=prog,
            usage=f"%(prog)s {usage}",
            description=description,
            epilog="\n  ".join(("examples:", *examples)) if examples else None,
            formatter_class=HelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.examples = tuple(example % {"prog": prog} for example in examples)
        self._positionals.title = "arguments"

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = tuple(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        super().error(scrub(_with(message, *self._questions())))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            choices = [str(choice) for choice in action.choices or ()]
            if len(choices) > _MOST_CHOICES:
                error.message = f"invalid choice: {value!r} (see --help)"
            error.message = _with(error.message, did_you_mean.did_you_mean(str(value), choices))
            raise

    def _questions(self) -> Iterator[str]:
        """An unknown long option is misspelled, whatever else is wrong."""
        flags = set(flags_of(self))
        for word in takewhile(lambda word: word != "--", self._given):
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in flags:
                yield did_you_mean.did_you_mean(flag, flags)


def _columns() -> int:
    """As shutil.get_terminal_size() has it. argparse asks for each option, and shutil is slow to import."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return terminal.width(terminal.STDOUT) or 80


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, and prints `-o, --output PATH` instead of `-o PATH, --output PATH`."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_COLUMN, width=_columns() - 2)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap a paragraph; keep the lines of a text that has several."""
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Unlike argparse, do not break a line within --an-option."""
        import textwrap  # for --help alone

        return textwrap.wrap(text, width, break_on_hyphens=False)


def add_general(made: argparse.ArgumentParser) -> None:
    """The options of every command; they come last in --help."""
    group = made.add_argument_group("general options")
    group.add_argument("--json", action="store_true", help="print the result as one JSON object")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="print more on stderr")
    loudness.add_argument("-q", "--quiet", action="store_true", help="print only warnings and errors")
    add_help(group, made.prog)


def add_verbs(made: Parser, prog: str, *, required: bool = True) -> argparse._SubParsersAction[Parser]:
    """Give a command subcommands, whose name is `verb` of the options."""
    return made.add_subparsers(
        dest="verb", required=required, prog=prog, parser_class=Parser, title="commands", metavar="COMMAND"
    )


def add_verb(verbs: argparse._SubParsersAction[Parser], name: str, module: ModuleType) -> Parser:
    """Add the subcommand of a module that has SUMMARY, DESCRIPTION, USAGE and EXAMPLES."""
    return verbs.add_parser(
        name,
        help=module.SUMMARY,
        description=module.DESCRIPTION,
        usage=module.USAGE,
        examples=module.EXAMPLES,
    )


def add_help(group: argparse._ActionsContainer, prog: str) -> None:
    version = f"{prog.replace(' ', '-')} {__version__}"
    group.add_argument("--version", action="version", version=version, help="print the version and exit")
    group.add_argument("-h", "--help", action="help", help="print this help and exit")


def completed(action: argparse.Action, values: str) -> argparse.Action:
    """Say what a shell completes for this option or argument.

    `values` is "file", "directory", "toml" (files of that suffix), "bases", "clouds", "families", "pools",
    or words with | between them.
    An option with `choices` needs no such mark. command_line/completion.py reads the marks.
    """
    # As shtab's own `complete`, an attribute that argparse does not know; so parsers do not import shtab.
    action.completed_by = values  # type: ignore[attr-defined]  # set here, read by _mark() alone
    return action


def number(text: str) -> float:
    """The value of an option: a number that is not negative."""
    try:
        found = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a finite number and not negative")
    return found


def whole_number(text: str) -> int:
    """The value of an option: a whole number that is not negative."""
    try:
        found = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if found < 0:
        raise argparse.ArgumentTypeError(f"{text!r} must not be negative")
    return found


def positive_number(text: str) -> int:
    """The value of an option: a whole number from 1."""
    found = whole_number(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} must be at least 1")
    return found


def flags_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The long options of a parser and of its subcommands."""
    for action in parser._actions:
        yield from (flag for flag in action.option_strings if flag.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from flags_of(verb)


def _with(message: str, *questions: str) -> str:
    asked = " ".join(filter(None, questions))
    return f"{message.rstrip('.')}. {asked}" if asked else message
