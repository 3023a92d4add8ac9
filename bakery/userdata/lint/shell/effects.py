"""What a shell script does to files, found out without running it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakery.userdata.lint import files, unknown
from bakery.userdata.lint.context import TOKEN
from bakery.userdata.lint.files import Files
from bakery.userdata.lint.shell import commands
from bakery.userdata.lint.shell.interpreter import Interpreter
from bakery.userdata.lint.shell.state import DONE, Machine, Result
from bakery.userdata.lint.shell.syntax import Unreadable


@dataclass(frozen=True)
class Effect:
    """The files after the script, and whether a token was an argument of a program, which `ps` shows."""

    files: Files
    tokens_in_arguments: bool


def of(
    text: str, before: Mapping[str, files.Options], *, posix: bool, where: str, watched: Sequence[str]
) -> Effect:
    """Follow a script from the files `before`.

    `posix` follows only what every `sh` does in the same way; `where` names the script in the user-data;
    `watched` are the paths whose content the caller needs.

    Raises Unreadable: the script uses syntax or commands that cannot be followed.
    Raises state.TooMuch: it does more than the check follows.
    """
    machine = Machine(dict(before), where, tuple(watched))
    try:
        Shell(machine, posix=posix).script(text)
    except RecursionError:
        raise Unreadable from None
    return Effect(machine.files, machine.tokens_in_arguments)


class Shell(Interpreter):
    """A shell with its builtins and the known programs."""

    def words(self, words: Sequence[str], stdin: str | None) -> Result:
        if not words:
            return DONE
        name, arguments = unknown.plain(words[0]), list(words[1:])
        if name in self.functions:
            return self.call(self.functions[name], arguments, stdin)
        if name in commands.BUILTINS:
            return commands.BUILTINS[name](self, arguments, stdin)
        if any(TOKEN.search(word) for word in arguments):
            self.machine.tokens_in_arguments = True
        program = commands.PROGRAMS.get(posixpath.basename(name))
        return program(self, arguments, stdin) if program else self.program(name, arguments, stdin)
