"""All commands: their names and summaries, and their parsers as one tree.

The tree imports every command. It is for what describes the commands (completion, manual pages, the
reference of the documentation); a command that runs imports its own module only.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple, cast

from bakery.commands.command_line.parser import Parser, add_help

NAME = "worker-bakery"
DESCRIPTION = "Bake HTCondor worker images, verify them, and start workers from them."
EXAMPLES = (
    "%(prog)s bake --base rocky9 -o worker.qcow2",
    "%(prog)s verify worker.qcow2",
    "%(prog)s userdata --token-file token --project TG-ABC123 -o user-data",
)


class Command(NamedTuple):
    """`module` is below bakery.commands and has main(argv, prog) and parser(prog)."""

    module: str
    summary: str


GROUPS: dict[str, dict[str, Command]] = {
    "images": {
        "bake": Command("bake", "bake a worker image and verify it"),
        "verify": Command("verify", "verify an existing image: boot it, let it join a test pool"),
        "describe": Command(
            "description.describe", "show the contents and the proof of an image; write its SBOM"
        ),
        "sign": Command("description.sign", "sign an image and its description with a key of minisign"),
        "publish": Command("publish.command", "publish an image where clouds and people find it"),
        "outdated": Command("outdated", "list the packages of images that have updates"),
        "diff": Command("diff", "compare the contents of two images"),
        "rebuild": Command("rebuild.command", "bake an image again and compare the bytes"),
        "shell": Command("shell", "open a shell in a copy of an image"),
        "bases": Command("bases", "list the base images"),
        "cache": Command("cache", "list or remove what bakes keep"),
    },
    "workers": {
        "token": Command("token.command", "explain, issue, obtain and try the tokens of workers"),
        "userdata": Command("userdata", "write or check the user-data of a worker"),
        "page": Command("page.command", "write the page on which browsers generate user-data, or serve it"),
        "status": Command("status.dispatch", "show the workers of a group in their pool, wait for them"),
        "fleet": Command("fleet.command", "launch, list and delete workers on an OpenStack cloud"),
        "apply": Command("remote", "turn a running machine into a worker, over ssh"),
        "remove": Command("remote", "undo what apply did on a machine"),
    },
    "this program": {
        "config": Command("config", "show the settings in force and their sources"),
        "completion": Command("completion", "print the completion script of a shell"),
    },
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}
# Also installed as programs of their own.
STANDALONE = {"bake-image": "bake", "gen-userdata": "userdata"}


def module(name: str) -> ModuleType:
    """The module of a command, imported now."""
    path = f"bakery.commands.{COMMANDS[name].module}"
    __import__(path)  # which Python's report of imports shows, unlike importlib.import_module
    return sys.modules[path]


def overview() -> Parser:
    """The parser of the program without its commands, for `worker-bakery --help`."""
    made = Parser(NAME, DESCRIPTION, usage="COMMAND [options]", examples=EXAMPLES)
    for title, commands in GROUPS.items():
        rows = (f"{name:<14}{command.summary}" for name, command in commands.items())
        made.add_argument_group(title, "\n".join((*rows, "")))
    add_help(made.add_argument_group("general options"), NAME)
    return made


def tree() -> Parser:
    """The parser of the program with those of all commands, without this machine's settings."""
    made = overview()
    # add_parser calls it like a class.
    kind = cast(type[ArgumentParser], _subparser)
    verbs = made.add_subparsers(dest="command", prog=NAME, parser_class=kind, title="commands")
    for name, command in COMMANDS.items():
        verbs.add_parser(name, help=command.summary)
    return made


def standalone() -> Iterator[ArgumentParser]:
    """The parsers of the commands that are programs of their own."""
    for prog, name in STANDALONE.items():
        yield module(name).parser(prog)


def subcommands() -> Iterator[ArgumentParser]:
    """The parser of each command, in the order of --help."""
    for name in COMMANDS:
        yield module(name).parser(f"{NAME} {name}")


def _subparser(*, prog: str, **_: Any) -> ArgumentParser:
    made: ArgumentParser = module(prog.rpartition(" ")[2]).parser(prog)
    return made
