"""The pages of the commands, from their argparse parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from bakery.commands.command_line import program
from bakery.userdata import batch, rendering
from tools.reference.markdown import HERE, Outdated, code, codes, page, table, with_notice

_WIDTH = 88
NOTES = HERE / "templates" / "notes"


@dataclass(frozen=True)
class Program:
    """A command as it is typed, for example `worker-bakery bake`, and its parser."""

    name: str
    parser: argparse.ArgumentParser

    def __post_init__(self) -> None:
        _rename(self.parser, self.name)

    @property
    def file(self) -> str:
        return f"{self.name.removeprefix('worker-bakery ').replace(' ', '-')}.md"


def _rename(parser: argparse.ArgumentParser, name: str) -> None:
    """Have the usage of the parser, and of its verbs, begin with this name."""
    parser.prog = name
    for verb, inner in verbs(parser).items():
        _rename(inner, f"{name} {verb}")


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The subparsers of a parser by name."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= action.choices
    return found


@cache
def programs() -> tuple[Program, ...]:
    """All commands. This is the one place that knows where their parsers are."""
    return tuple(Program(parser.prog, parser) for parser in program.subcommands())


# Commands with a name of their own, identical to a subcommand.
ALIASES = {alias: f"{program.NAME} {name}" for alias, name in program.STANDALONE.items()}


def pages() -> dict[str, str]:
    """File name -> text."""
    found = {one.file: _page(one) for one in programs()}
    rows = [(f"[`{one.name}`]({one.file})", _description(one.parser)) for one in programs()]
    if stale := {path.name for path in NOTES.glob("*.md")} - set(found):
        raise Outdated(f"There are notes of commands that do not exist: {', '.join(sorted(stale))}.")
    return {"index.md": page("commands", commands=table(("command", "what it does"), rows)), **found}


def _page(one: Program) -> str:
    parts = [f"# {one.name}\n", *_also(one), *_body(one.parser), *_notes(one)]
    return with_notice("\n".join(parts).rstrip("\n") + "\n", "the parser")


def _notes(one: Program) -> Iterator[str]:
    """What the parser cannot say, from templates/notes."""
    file = NOTES / one.file
    if file.is_file():
        columns = {f"@@columns_{kind}@@": codes(batch.columns(kind)) for kind in rendering.KINDS}
        text = file.read_text()
        for key, value in columns.items():
            text = text.replace(key, value)
        yield f"## Notes\n\n{text}"


def _also(one: Program) -> list[str]:
    return [f"Also installed as `{name}`.\n" for name, command in ALIASES.items() if command == one.name]


def _body(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"{_description(parser)}\n"
    yield f"```text\n{_usage(parser)}\n```\n"
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if _is_shown(action)]
        if actions:
            yield f"## {_title(group)}\n"
            yield f"{table(('option', 'default', 'meaning'), [_row(parser, one) for one in actions])}\n"
    yield from _verbs(parser)
    yield from _epilog(parser)


def _verbs(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Each subparser as a section; its own headings are one level deeper."""
    helps = _helps(parser)
    for name, verb in verbs(parser).items():
        verb.description = verb.description or helps.get(name, "")
        inner = "\n".join(_body(verb))
        yield f"## {verb.prog}\n\n" + re.sub(r"^(#+) ", r"#\1 ", inner, flags=re.MULTILINE)


def _helps(parser: argparse.ArgumentParser) -> dict[str, str]:
    """What `--help` of the parser says of each subparser."""
    return {
        choice.dest: choice.help or ""
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for choice in action._choices_actions
    }


def _epilog(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The lines after `examples:` are commands; anything else is text."""
    if not parser.epilog:
        return
    text = (parser.epilog % {"prog": parser.prog}).strip()
    if "\n" not in text:
        yield f"{text}\n"
        return
    language = "sh" if text.lower().startswith("example") else "text"
    yield f"## Examples\n\n```{language}\n{_without_title(text)}\n```\n"


def _without_title(text: str) -> str:
    first, _, rest = text.partition("\n")
    lines = (rest if first.strip().lower().startswith("example") else text).splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    return "\n".join(line[min(indents, default=0) :].rstrip() for line in lines).strip("\n")


def _description(parser: argparse.ArgumentParser) -> str:
    """As a sentence."""
    text = " ".join((parser.description or "").split())
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _usage(parser: argparse.ArgumentParser) -> str:
    """As --help has it, whatever the width of the terminal is."""
    formatter = argparse.HelpFormatter(parser.prog, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    return formatter.format_help().strip()


def _title(group: argparse._ArgumentGroup) -> str:
    title = group.title or "options"
    return title[0].upper() + title[1:]


def _is_shown(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[str, str, str]:
    return _names(action), code(_default(action)), _meaning(parser, action)


def _names(action: argparse.Action) -> str:
    """`-o`, `--output PATH`; of a positional argument its name."""
    value = _value(action)
    if not action.option_strings:
        return code(value or action.dest)
    *others, last = action.option_strings
    return ", ".join([*map(code, others), code(f"{last} {value}".strip())])


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return action.dest.upper() if action.option_strings else action.dest


def _default(action: argparse.Action) -> str:
    nothing = action.default in (None, False, "", argparse.SUPPRESS) or action.default == []
    return "" if nothing else str(action.default)


def _meaning(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The help, without the default that has a column of its own."""
    text = re.sub(r"\s*\((default: )?%\(default\)s\)", "", action.help or "")
    values = {**vars(action), "prog": parser.prog}
    text = (text % {name: value for name, value in values.items() if value is not None}).strip()
    return re.sub(r"(?<!`)<([A-Za-z-]+)>", r"`<\1>`", text)
