"""Manual pages in section 1, made by argparse-manpage from the parsers when the package is built."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from bakery import __version__
from bakery.commands.command_line import parser as parsers
from bakery.commands.command_line import program
from bakery.commands.command_line.settings import KEYS, VARIABLES
from provisioner import errors

_TITLE = "worker-bakery manual"
# man wraps the text. Wrapped here, a line could begin with a dot, which roff takes for a macro; and the
# pages would depend on the terminal of whoever builds the package.
_NEVER_WRAPPED = 100_000


def pages() -> Iterator[tuple[str, str]]:
    """Each name, without the section, and the page as roff: the program, its commands, the short names."""
    summary = "bake, verify and start HTCondor worker images"
    yield program.NAME, _page(program.NAME, summary, _bare_overview(), _of_the_program())
    for name, parser in zip(program.COMMANDS, program.subcommands(), strict=True):
        page = f"{program.NAME}-{name}"
        yield page, _page(page, program.COMMANDS[name].summary, parser, _of_a_command())
    for parser, name in zip(program.standalone(), program.STANDALONE.values(), strict=True):
        summary = program.COMMANDS[name].summary
        more = {"see also": f"{_reference(f'{program.NAME}-{name}')}, {_reference(program.NAME)}"}
        yield parser.prog, _page(parser.prog, summary, parser, more)


def _bare_overview() -> argparse.ArgumentParser:
    """Without the table of commands, which is a section of its own."""
    made = parsers.Parser(
        program.NAME, program.DESCRIPTION, usage="COMMAND [options]", examples=program.EXAMPLES
    )
    parsers.add_help(made.add_argument_group("general options"), program.NAME)
    return made


def _page(name: str, summary: str, parser: argparse.ArgumentParser, more: dict[str, str]) -> str:
    from argparse_manpage.manpage import Manpage

    examples = getattr(parser, "examples", ())
    parser.epilog = None  # the examples, which get a section of their own
    about = {"project_name": program.NAME, "version": __version__, "manual_title": _TITLE}
    page = Manpage(parser, _data={**about, "description": summary}, format="single-commands-section")
    page.prog = name
    page.formatter._width = _NEVER_WRAPPED
    for heading, text in {"examples": _verbatim(examples), **more}.items():
        page.add_section(heading, "=", text)
    return str(page)


def _of_the_program() -> dict[str, str]:
    commands = (
        _item(_bold(f"{program.NAME} {name}"), f"{_sentence(command.summary)} See {_reference(page)}.")
        for name, command in program.COMMANDS.items()
        for page in (f"{program.NAME}-{name}",)
    )
    variables = (
        _item(_bold(variable), f"Takes precedence over the key {key} of the configuration file.")
        for key, variable in VARIABLES.items()
    )
    codes = (_item(str(code), _escaped(text)) for code, text in EXIT_CODES.items())
    file = _item(
        "~/.config/worker\\-bakery/config.toml",
        f"Defaults of options, in TOML. The keys are {_escaped(', '.join(KEYS))}.",
    )
    return {
        "commands": "\n".join(commands),
        "files": file,
        "environment": "\n".join(variables),
        "exit status": "\n".join(codes),
        "see also": ", ".join(_reference(name) for name in program.STANDALONE),
    }


def _of_a_command() -> dict[str, str]:
    return {"see also": _reference(program.NAME)}


def _exit_codes() -> Iterator[tuple[int, str]]:
    """From the table at the head of provisioner/errors.py: name, code and meaning."""
    yield 0, "success"
    for row in (errors.__doc__ or "").splitlines():
        words = row.replace("├──", "").replace("└──", "").split()
        if len(words) > 2 and words[0][0].isupper() and words[1].isdigit() and words[0] != "BakeryError":
            yield int(words[1]), " ".join(words[2:])


EXIT_CODES = dict(_exit_codes())


def _item(term: str, text: str) -> str:
    return f".TP\n{term}\n{text}"


def _verbatim(lines: tuple[str, ...]) -> str:
    body = "\n".join(_escaped(line) for line in lines)
    return f".RS\n.nf\n{body}\n.fi\n.RE"


def _reference(page: str) -> str:
    return f"{_bold(page)}(1)"


def _bold(text: str) -> str:
    return f"\\fB{_escaped(text)}\\fR"


def _sentence(text: str) -> str:
    return _escaped(f"{text[0].upper()}{text[1:]}.")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("-", "\\-")
