"""The state of a shell that is being followed: variables, files, umask, working directory."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bakery.userdata.lint import files, unknown
from bakery.userdata.lint.files import File, Files
from bakery.userdata.lint.shell import syntax
from bakery.userdata.lint.shell.syntax import Unreadable

# The standard output of a command, and whether the command succeeds (None: not known).
Result = tuple[str, bool | None]
DONE: Result = ("", True)
# An argument list of which nothing is known.
ANY_WORDS = unknown.PARAMETER + unknown.UNSPLIT
# How far a script is followed, in characters of the texts that it produces.
_MOST = 64 * 1024 * 1024


class TooMuch(Unreadable):
    """The script does more than the check follows."""


@dataclass
class Machine:
    """The state that all shells of a script share.

    `watched` are the paths whose content the caller needs; `where` is the script's place in the user-data.
    """

    files: Files
    where: str
    watched: tuple[str, ...]
    tokens_in_arguments: bool = False
    # The files open for writing, and those of them that another command read or wrote meanwhile.
    open: list[str] = field(default_factory=list)
    mixed: set[str] = field(default_factory=set)
    followed: int = 0
    used: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Snapshot:
    """The part of a shell's state that a branch can change."""

    files: Files
    variables: Mapping[str, str]
    functions: Mapping[str, syntax.Command | None]
    arguments: tuple[str, ...]
    umask: int
    folder: str
    sourced: bool
    ended: bool
    returned: bool


@dataclass
class ShellState:
    """One shell process.

    `functions` maps a name to None if the body depends on a condition. `umask` is -1 if it is not known.
    `sourced` means that a file or eval that cannot be followed may have set any variable.
    """

    machine: Machine
    posix: bool
    variables: dict[str, str] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    functions: dict[str, syntax.Command | None] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    umask: int = 0o022  # systemd's default for cloud-init's units
    folder: str = "/"  # cloud-init runs scripts in /
    sourced: bool = False
    ended: bool = False
    returned: bool = False
    depth: int = 0

    def count(self, characters: int) -> None:
        """Add to the work done so far. Raises TooMuch."""
        self.machine.followed += characters
        if self.machine.followed > _MOST:
            raise TooMuch

    def counted(self, text: str) -> str:
        """Count a text and return it. Raises TooMuch."""
        self.count(len(text))
        return text

    # Files

    def path(self, text: str) -> str:
        """The absolute path that a word names; "" if the word is empty."""
        plain = unknown.plain(text)
        path = posixpath.normpath(posixpath.join(self.folder, plain)) if plain else ""
        self.machine.used.add(path)
        return path

    def write(self, path: str, text: str, *, append: bool) -> None:
        """Write a text to a file, as a redirection does."""
        if path.startswith("/dev/") or not path:
            return
        self.note_use(path)
        if not unknown.is_known(path):
            self.write_unknown(path, unknown.PROGRAM)
            return
        mode = 0o666 & ~self.umask if self.umask >= 0 else -1
        files.write(self.machine.files, path, text, append=append, mode=mode, where=self.machine.where)
        self.count(sum(len(one.text) for one in self.machine.files[path] if one))

    def note_use(self, path: str) -> None:
        """Note that a command uses a file: if another one has it open for writing, the order is unknown."""
        if path in self.machine.open:
            self.machine.mixed.add(path)

    def write_unknown(self, path: str, sign: str) -> None:
        """Make the content unknown of each file that a path, which may be unknown itself, can name."""
        self.count(10 * len(self.machine.files))
        for known in (*self.machine.files, *self.machine.watched):
            if path == known or (not unknown.is_known(path) and unknown.could_be(path, known)):
                self.note_use(known)
                files.change(self.machine.files, known, sign, self.machine.where)

    def put(self, path: str, file: File) -> None:
        """Replace a file."""
        self.note_use(path)
        if unknown.is_known(path):
            files.put(self.machine.files, path, file)
        else:
            self.write_unknown(path, unknown.PROGRAM)

    def content(self, name: str, stdin: str | None) -> str:
        """The content of a file that a command reads."""
        path = self.path(name)
        if path in ("/dev/stdin", "/dev/fd/0"):
            return unknown.INPUT if stdin is None else stdin
        self.note_use(path)
        return files.content(self.machine.files, path) if unknown.is_known(path) else unknown.FETCHED

    def change_mentioned(self, text: str) -> None:
        """Make each watched file unknown whose path occurs in a program that is not followed."""
        for path in self.machine.watched:
            if path in text:
                files.change(self.machine.files, path, unknown.PROGRAM, self.machine.where)

    # Branches

    def snapshot(self) -> Snapshot:
        """Copy the state."""
        self.count(10 * (len(self.machine.files) + len(self.variables) + len(self.functions)))
        return Snapshot(
            files=dict(self.machine.files),
            variables=dict(self.variables),
            functions=dict(self.functions),
            arguments=self.arguments,
            umask=self.umask,
            folder=self.folder,
            sourced=self.sourced,
            ended=self.ended,
            returned=self.returned,
        )

    def restore(self, state: Snapshot) -> None:
        """Return to a snapshot."""
        self.machine.files, self.variables = dict(state.files), dict(state.variables)
        self.functions, self.arguments = dict(state.functions), state.arguments
        self.umask, self.folder, self.sourced = state.umask, state.folder, state.sourced
        self.ended, self.returned = state.ended, state.returned

    @contextmanager
    def subshell(self) -> Iterator[None]:
        """Restore everything except the files afterwards."""
        before = self.snapshot()
        try:
            yield
        finally:
            self.restore(replace(before, files=self.machine.files))

    def branch(self, *branches: Callable[[], Result]) -> Result:
        """Follow each branch from the same state, and merge the states at their ends.

        A branch that ends the script is a guard: the commands after it run only in the other branches.
        """
        before, ends, results = self.snapshot(), [], []
        for one in branches:
            self.restore(before)
            results.append(one())
            ends.append(self.snapshot())
        continuing = [end for end in ends if not (end.ended or end.returned)]
        self.restore(merged(continuing or ends))
        outputs, successes = {out for out, _ in results}, {success for _, success in results}
        out = outputs.pop() if len(outputs) == 1 else unknown.BRANCH
        return out, successes.pop() if len(successes) == 1 else None

    def repeat(self, body: Callable[[], Result]) -> Result:
        """Follow the body of a loop; what it changes is unknown, as is the number of rounds.

        A later round starts with what an earlier one has changed and can change more: the body is followed
        until nothing new changes.
        """
        before = self.snapshot()
        variables, paths = set[str](), set[str]()
        while True:
            start = self.snapshot()
            out, _ = body()
            after = self.snapshot()
            new_variables = _changed(start.variables, after.variables, None) - variables
            new_paths = _changed(start.files, after.files, files.ABSENT) - paths
            variables |= new_variables
            paths |= new_paths
            self.restore(replace(before, sourced=after.sourced))
            self.variables.update(dict.fromkeys(sorted(variables), unknown.LOOP))
            for path in sorted(paths):
                files.change(self.machine.files, path, unknown.LOOP, self.machine.where)
            if not new_variables and not new_paths and after.sourced == start.sourced:
                return unknown.LOOP if out else "", None


def _changed(before: Mapping[str, object], after: Mapping[str, object], default: object) -> set[str]:
    return {name for name, value in after.items() if before.get(name, default) != value}


def merged(ends: Sequence[Snapshot]) -> Snapshot:
    """The state after one of several branches: what differs between them is unknown."""
    first = ends[0]
    if all(end == first for end in ends):
        return first
    names = dict.fromkeys(name for end in ends for name in end.variables)
    bodies = {name: {end.functions.get(name) for end in ends} for end in ends for name in end.functions}
    values = {name: {end.variables.get(name) for end in ends} for name in names}
    return Snapshot(
        files=files.merged([end.files for end in ends]),
        variables={
            name: (found.pop() or "") if len(found) == 1 else unknown.BRANCH
            for name, found in values.items()
        },
        functions={name: found.pop() if len(found) == 1 else None for name, found in bodies.items()},
        arguments=first.arguments if len({end.arguments for end in ends}) == 1 else (ANY_WORDS,),
        umask=first.umask if len({end.umask for end in ends}) == 1 else -1,
        folder=first.folder if len({end.folder for end in ends}) == 1 else unknown.BRANCH,
        sourced=any(end.sourced for end in ends),
        ended=all(end.ended for end in ends),
        returned=all(end.returned for end in ends),
    )
