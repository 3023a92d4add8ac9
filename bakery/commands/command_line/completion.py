"""Completion scripts for bash, zsh and fish, made by shtab from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Literal, get_args

from bakery.commands.command_line import program
from bakery.runtime import data

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = get_args(Shell)


def script(shell: Shell) -> str:
    """For worker-bakery, bake-image and gen-userdata together, to be read by `source`."""
    return "\n".join(text for _, text in scripts(shell))


def scripts(shell: Shell) -> Iterator[tuple[str, str]]:
    """Each program and its script; a shell that loads scripts on demand wants a file for each."""
    import shtab

    for parser in (program.tree(), *program.standalone()):
        _mark(parser)
        yield parser.prog, shtab.complete(parser, shell) + "\n"


def _mark(parser: argparse.ArgumentParser) -> None:
    """Turn the marks of `parser.completed` into shtab's, here and in the subcommands."""
    import shtab

    paths = {"file": shtab.FILE, "directory": shtab.DIRECTORY, "toml": shtab.glob("*.toml")}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                _mark(verb)
        elif values := getattr(action, "completed_by", ""):
            if values in paths:
                action.complete = paths[values]  # type: ignore[attr-defined]  # shtab's own attribute, of no type
            else:
                action.choices = _names(values)


def _names(values: str) -> tuple[str, ...]:
    """The names of a table or a folder of ours, or words with | between them."""
    tables = {"bases": _bases, "pools": _pools, "clouds": _clouds, "families": _families}
    return tables[values]() if values in tables else tuple(values.split("|"))


def _bases() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in data.BASES.glob("*.toml")))


def _pools() -> tuple[str, ...]:
    from bakery.userdata import pools

    return pools.names(pools.built_in())


def _clouds() -> tuple[str, ...]:
    from bakery.userdata.delivery.clouds import CLOUDS

    return tuple(CLOUDS)


def _families() -> tuple[str, ...]:
    from provisioner.roles import FAMILIES

    return tuple(FAMILIES)
