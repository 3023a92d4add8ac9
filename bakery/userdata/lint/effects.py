"""What a shell script does to files, found out without running it.

Assignments, redirections, here-documents and the programs that copy text are followed. A condition that is
not known is followed both ways, and what a program, a loop or another file makes is unknown: nothing is
guessed.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from bakery.userdata.lint import builtin, files, python, shell, unknown
from bakery.userdata.lint.context import TOKEN
from bakery.userdata.lint.files import File, Files
from bakery.userdata.lint.shell import AnsiText, Literal, Opaque, Substitution, Unreadable, Variable, Word

# What a command gives: what it writes to its standard output, and whether it succeeds (None: not known).
Result = tuple[str, bool | None]
DONE: Result = ("", True)
_ENVIRONMENT = re.compile(
    r"BASH\w*|LC_\w+|SYSTEMD_\w+|(?:https?|ftp|no|all)_proxy|(?:HTTPS?|NO)_PROXY|"
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|HOSTNAME|HOSTTYPE|OSTYPE|MACHTYPE|E?UID|PPID|S?RANDOM|SECONDS|LINENO|"
    r"LANG|LANGUAGE|TERM|SHLVL|IFS|OPTIND|OPTARG|INSTANCE_ID|GROUPS|DIRSTACK|COLUMNS|LINES|INVOCATION_ID|"
    r"JOURNAL_STREAM|TZ|EPOCH\w+|FUNCNAME|REPLY|PIPESTATUS|PS[0-4]|_"
)
_BRACES = re.compile(r"\{(?:[^{},.]|\.(?!\.))*(?:,|\.\.)[^{}]*\}")
_GLOB = re.compile(r"[*?]|\[(?=[^\]]{1,255}\])")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DECLARING = frozenset((Literal(name),) for name in ("export", "declare", "local", "readonly", "typeset"))
# They look at a file that they are given, and change neither it nor its mode.
_LOOKING = re.compile(
    r"systemctl|service|ls|stat|chown|chgrp|restorecon|chcon|setfacl|getfacl|logger|grep|egrep|head|tail|wc|"
    r"md5sum|sha\d+sum|diff|cmp|file|sync|condor_\w+|worker-image|mkdir|dirname|basename|sleep|less|more|cksum"
)
_BARE = ("sudo", "env", "command", "builtin", "nohup", "exec")
_SHELLS = re.compile(r"(?:/usr)?(?:/bin/)?(bash|sh|dash|ash|ksh)")
# They have nothing to complain of.
_QUIET = (["echo"], ["printf"], [":"], ["true"])
_MOST_ROUNDS = 64
_ANY_WORDS = unknown.PARAMETER + unknown.LOOSE
_DEEPEST = 12
# How much of a script is followed: characters of the texts that it makes, and so many for each command.
_MOST = 64 * 1024 * 1024
_OF_A_COMMAND = 3000


class TooMuch(Unreadable):
    """The script does more than is followed."""


@dataclass(frozen=True)
class Effect:
    """The files then, and the tokens' whereabouts that somebody on the machine can see."""

    files: Files
    tokens_in_arguments: bool


def of(
    text: str, before: Mapping[str, files.Options], *, posix: bool, where: str, watched: Sequence[str]
) -> Effect:
    """What the script makes of the files, of which the watched ones matter. Raises Unreadable."""
    machine = Machine(dict(before), where, tuple(watched))
    try:
        Run(machine, posix=posix).everything(text)
    except RecursionError:
        raise Unreadable from None
    return Effect(machine.files, machine.tokens_in_arguments)


@dataclass
class Machine:
    """What all shells of a script share."""

    files: Files
    where: str
    watched: tuple[str, ...]
    tokens_in_arguments: bool = False
    # The files that are open for writing, and those of them that something else wrote or read meanwhile.
    open: list[str] = field(default_factory=list)
    mixed: set[str] = field(default_factory=set)
    followed: int = 0
    used: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class State:
    """What a condition may change."""

    files: Files
    variables: Mapping[str, str]
    functions: Mapping[str, shell.Command | None]
    arguments: tuple[str, ...]
    umask: int
    folder: str
    sourced: bool
    ended: bool
    returned: bool


@dataclass
class Run:
    """One shell."""

    machine: Machine
    posix: bool
    variables: dict[str, str] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    functions: dict[str, shell.Command | None] = field(default_factory=dict)  # None: one of several
    arguments: tuple[str, ...] = ()
    umask: int = 0o022  # what systemd gives to cloud-init
    folder: str = "/"  # where cloud-init runs scripts
    sourced: bool = False
    ended: bool = False
    returned: bool = False
    depth: int = 0

    def everything(self, text: str, stdin: str | None = None) -> Result:
        return self.sequence(shell.read(text, posix=self.posix), stdin)

    def _count(self, characters: int) -> None:
        self.machine.followed += characters
        if self.machine.followed > _MOST:
            raise TooMuch

    def _counted(self, text: str) -> str:
        self._count(len(text))
        return text

    # Lists

    def sequence(self, body: shell.List, stdin: str | None) -> Result:
        made: list[str] = []
        last: bool | None = True
        for one in body:
            if self.ended or self.returned:
                break
            said, last = self._and_or(one, stdin)
            made += [self._counted(said)] if said else []
        return unknown.joined(made), last

    def _and_or(self, one: shell.AndOr, stdin: str | None) -> Result:
        out, good = self._pipeline(one.first, stdin)
        for operator, pipeline in one.rest:
            if self.ended or self.returned:
                break
            if good is None:
                said, good = self._fork(lambda: DONE, partial(self._pipeline, pipeline, stdin))
                good = None
            elif good == (operator == "&&"):
                said, good = self._pipeline(pipeline, stdin)
            else:
                continue
            out = unknown.joined((out, said))
        return out, good

    def _pipeline(self, pipeline: shell.Pipeline, stdin: str | None) -> Result:
        self._count(_OF_A_COMMAND * len(pipeline.commands))
        if len(pipeline.commands) == 1:
            out, good = self.command(pipeline.commands[0], stdin)
        else:
            out, good = self._piped(pipeline.commands, stdin)
        return out, (None if good is None else not good) if pipeline.negated else good

    def _piped(self, commands: Sequence[shell.Command], stdin: str | None) -> Result:
        """All of them run at once: what one of them changes and another one uses is unknown."""
        out, last = stdin, None
        before, used = self.machine.used, Counter[str]()
        changed: set[str] = set()
        for command in commands:
            self.machine.used, old = set(), dict(self.machine.files)
            with self._own_shell():
                out, last = self.command(command, out)
            used.update(self.machine.used)
            self._count(20 * len(old))
            changed |= {path for path, now in self.machine.files.items() if now != old.get(path)}
        self.machine.used = before | set(used)
        for path in changed:
            if used[path] > 1:
                self._touch(path, unknown.PROGRAM)
        return out or "", last

    @contextmanager
    def _own_shell(self) -> Iterator[None]:
        """Files stay changed, and nothing else."""
        before = self._state()
        try:
            yield
        finally:
            self._restore(replace(before, files=self.machine.files))

    # Both ways

    def _state(self) -> State:
        self._count(10 * (len(self.machine.files) + len(self.variables) + len(self.functions)))
        return State(
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

    def _restore(self, state: State) -> None:
        self.machine.files, self.variables = dict(state.files), dict(state.variables)
        self.functions, self.arguments = dict(state.functions), state.arguments
        self.umask, self.folder, self.sourced = state.umask, state.folder, state.sourced
        self.ended, self.returned = state.ended, state.returned

    def _fork(self, *ways: Callable[[], Result]) -> Result:
        """One of them will be gone. A way that ends the script is a guard: what follows is for others."""
        before, ends, results = self._state(), [], []
        for way in ways:
            self._restore(before)
            results.append(way())
            ends.append(self._state())
        going = [end for end in ends if not (end.ended or end.returned)]
        self._restore(_one_of(going or ends))
        outs, goods = {out for out, _ in results}, {good for _, good in results}
        return outs.pop() if len(outs) == 1 else unknown.BRANCH, goods.pop() if len(goods) == 1 else None

    def _again_and_again(self, way: Callable[[], Result]) -> Result:
        """Who knows how often: what changes is unknown."""
        before = self._state()
        out, _ = way()
        after = self._state()
        self._restore(replace(before, sourced=after.sourced))
        for name, value in after.variables.items():
            if before.variables.get(name) != value:
                self.variables[name] = unknown.LOOP
        for path, options in after.files.items():
            if before.files.get(path, files.ABSENT) != options:
                files.change(self.machine.files, path, unknown.LOOP, self.machine.where)
        return unknown.LOOP if out else "", None

    # Commands

    def command(self, command: shell.Command, stdin: str | None) -> Result:
        if isinstance(command, shell.Simple):
            return self._simple(command, stdin)
        if isinstance(command, shell.Function):
            self.functions[command.name] = command.body
            return DONE
        return self._redirected(command.redirects, lambda given: self._compound(command, given), stdin)

    def _compound(self, command: shell.Command, stdin: str | None) -> Result:
        if isinstance(command, shell.Group):
            if not command.own_shell:
                return self.sequence(command.body, stdin)
            with self._own_shell():
                return self.sequence(command.body, stdin)
        if isinstance(command, shell.If):
            return self._if(command.branches, command.otherwise, stdin)
        if isinstance(command, shell.For):
            return self._for(command, stdin)
        if isinstance(command, shell.While):
            return self._again_and_again(
                lambda: self.sequence((*command.condition, *command.body), unknown.LOOP)
            )
        if isinstance(command, shell.Case):
            self.text(command.word)  # it may set a variable
            ways = [partial(self.sequence, body, stdin) for body in command.branches]
            return self._fork(lambda: DONE, *ways)
        return "", None

    def _if(
        self, branches: tuple[tuple[shell.List, shell.List], ...], otherwise: shell.List, stdin: str | None
    ) -> Result:
        if not branches:
            return self.sequence(otherwise, stdin)
        (condition, body), rest = branches[0], branches[1:]
        said, holds = self.sequence(condition, stdin)
        if holds:
            out, good = self.sequence(body, stdin)
        elif holds is False:
            out, good = self._if(rest, otherwise, stdin)
        else:
            out, good = self._fork(
                lambda: self.sequence(body, stdin), lambda: self._if(rest, otherwise, stdin)
            )
        return unknown.joined((said, out)), good

    def _for(self, loop: shell.For, stdin: str | None) -> Result:
        words = None if loop.words is None else self._all_fields(loop.words)
        if words is None or len(words) > _MOST_ROUNDS or not all(map(unknown.is_known, words)):
            self.variables[loop.name] = unknown.LOOP
            return self._again_and_again(lambda: self.sequence(loop.body, stdin))
        out = ""
        for word in words:
            self.variables[loop.name] = word
            out = unknown.joined((out, self.sequence(loop.body, stdin)[0]))
        return out, None

    def _simple(self, command: shell.Simple, stdin: str | None) -> Result:
        if not command.words:
            for one in command.assignments:
                self._assign(one)
            return self._redirected(command.redirects, lambda _: DONE, stdin)
        words = self._all_fields(command.words)
        if words == ["exec"]:
            return self._exec(command.redirects)
        quiet = words[:1] in _QUIET
        return self._redirected(
            command.redirects, lambda given: self.words(words, given), stdin, quiet=quiet
        )

    def _assign(self, one: shell.Assignment) -> None:
        # One that begins with nothing and grows is as it should be.
        value = unknown.joined((self._value(one.name) if one.appends else "", self.text(one.value)))
        self.variables[one.name] = value.replace(unknown.unset(one.name), "")

    def _exec(self, redirects: Sequence[shell.Redirect]) -> Result:
        """From here on all output goes there; who wrote it is not looked into."""
        for redirect in redirects:
            path = self._path(self.text(redirect.target))
            if redirect.operator.startswith((">", "&>")) and not path.startswith("/dev/"):
                self._touch(path, unknown.PROGRAM)
        return DONE

    def _redirected(
        self,
        redirects: Sequence[shell.Redirect],
        run: Callable[[str | None], Result],
        stdin: str | None,
        *,
        quiet: bool = False,
    ) -> Result:
        sink, complains = "", False
        for one in redirects:
            target = self.text(one.target)
            complains |= not quiet and (one.operator.startswith("&") or (one.fd == 2 and target == "1"))
            if one.operator in ("<<", "<<-"):
                stdin = target
            elif one.operator == "<<<":
                stdin = target + "\n"
            elif one.operator == "<":
                stdin = self._content(target, stdin)
            elif one.operator.startswith((">", "&>")) and not re.fullmatch(r"\d+|-", target):
                path = self._path(target)
                self._write(path, "", append=">>" in one.operator)
                sink = path if one.fd in (1, -1) else sink
            elif one.fd == 1 and target == "2":
                sink = "/dev/stderr"
        if not sink or sink in ("/dev/stdout", "/dev/fd/1"):
            return run(stdin)
        self.machine.open.append(sink)
        out, good = run(stdin)
        self.machine.open.pop()
        self._write(sink, out, append=True)
        if complains or (sink in self.machine.mixed and sink not in self.machine.open):
            self.machine.mixed.discard(sink)
            self._touch(sink, unknown.PROGRAM)
        return "", good

    # Files

    def _path(self, text: str) -> str:
        plain = unknown.plain(text)
        path = posixpath.normpath(posixpath.join(self.folder, plain)) if plain else ""
        self.machine.used.add(path)
        return path

    def _write(self, path: str, text: str, *, append: bool) -> None:
        if path.startswith("/dev/") or not path:
            return
        self._meddled(path)
        if not unknown.is_known(path):
            self._touch(path, unknown.PROGRAM)
            return
        mode = 0o666 & ~self.umask if self.umask >= 0 else -1
        files.write(self.machine.files, path, text, append=append, mode=mode, where=self.machine.where)
        self._count(sum(len(one.text) for one in self.machine.files[path] if one))

    def _meddled(self, path: str) -> None:
        """Whoever has it open for writing goes on with what he has."""
        if path in self.machine.open:
            self.machine.mixed.add(path)

    def _touch(self, path: str, sign: str) -> None:
        """Something that is not followed writes there."""
        self._count(10 * len(self.machine.files))
        for known in (*self.machine.files, *self.machine.watched):
            if path == known or (not unknown.is_known(path) and unknown.could_be(path, known)):
                self._meddled(known)
                files.change(self.machine.files, known, sign, self.machine.where)

    def _content(self, name: str, stdin: str | None) -> str:
        path = self._path(name)
        if path in ("/dev/stdin", "/dev/fd/0"):
            return unknown.INPUT if stdin is None else stdin
        self._meddled(path)
        return files.content(self.machine.files, path) if unknown.is_known(path) else unknown.FETCHED

    # Words

    def text(self, word: Word) -> str:
        """Without splitting, as in an assignment."""
        made = [
            _with_homes(self._part(part), first=number == 0) if _is_bare(part) else self._part(part)
            for number, part in enumerate(word)
        ]
        return self._counted(unknown.joined(made))

    def _part(self, part: shell.Part) -> str:
        if isinstance(part, Literal):
            return part.text
        if isinstance(part, AnsiText):
            return unknown.DIALECT if self.posix else part.text
        if isinstance(part, Opaque):
            return unknown.PARAMETER
        if isinstance(part, Substitution):
            with self._own_shell():
                return self.sequence(part.body, None)[0].rstrip("\n")
        return self._variable(part)

    def _variable(self, part: Variable) -> str:
        value = self._value(part.name, in_document=part.in_document)
        if not part.operator:
            return value
        is_set, kind = not unknown.unset_in(value) or bool(unknown.plain(value)), part.operator[-1]
        if not unknown.is_known(value) and (part.operator[0] == ":" or value == unknown.ENVIRONMENT):
            return value if kind == "?" else unknown.PARAMETER
        fits = bool(unknown.plain(value)) if part.operator[0] == ":" else is_set
        if kind == "+":
            return self.text(part.word) if fits else ""
        if fits:
            return value
        if kind == "?":
            self.ended = True
            return ""
        if kind == "=":
            self.variables[part.name] = self.text(part.word)
        return self.text(part.word)

    def _value(self, name: str, *, in_document: bool = False) -> str:
        if name in self.variables:
            return self.variables[name]
        if name.isdigit() and name != "0":
            return self._argument(int(name))
        if name in ("@", "*"):
            return unknown.joined(self.arguments, " ")
        if not _NAME.fullmatch(name):
            return unknown.PARAMETER
        if self.sourced:
            return unknown.SOURCED
        if _ENVIRONMENT.fullmatch(name):
            return unknown.ENVIRONMENT_IN_DOCUMENT if in_document else unknown.ENVIRONMENT
        return unknown.unset(f"<<{name}" if in_document else name)

    def _argument(self, number: int) -> str:
        if any(unknown.LOOSE in one for one in self.arguments[:number]):
            return unknown.PARAMETER
        known = self.arguments[number - 1 : number]
        return known[0] if known else unknown.unset(str(number))

    def _all_fields(self, words: Sequence[Word]) -> list[str]:
        made: list[str] = []
        declares = bool(words) and words[0] in _DECLARING
        for word in words:
            made += self._declared(word) if declares else self._fields(word)
        return made

    def _declared(self, word: Word) -> list[str]:
        """export NAME=value: bash does not split the value, dash does."""
        first = word[0] if word else None
        if not (isinstance(first, Literal) and not first.quoted and re.match(r"[A-Za-z_]\w*=", first.text)):
            return self._fields(word)
        text = self.text(word)
        name, _, value = text.partition("=")
        splits = self.posix and re.search(r"\s", value) and not all(map(_is_quoted, word))
        return [f"{name}={unknown.DIALECT}" if splits else text]

    def _fields(self, word: Word) -> list[str]:
        """With what is not quoted split, and file names not looked up."""
        said = [part for part in word if part != Literal("", True)]
        if len(said) == 1 and isinstance(said[0], Variable) and said[0].name == "@" and said[0].quoted:
            return list(self.arguments)
        if len(self.arguments) > 1 and any(isinstance(one, Variable) and one.name == "@" for one in said):
            return [_ANY_WORDS]
        made: list[str] = []
        glued = False
        for number, part in enumerate(word):
            text = self._part(part)
            if _is_quoted(part):
                pieces = [_literal(text, first=number == 0) if _is_bare(part) else text]
                begins = ends = False
            else:
                pieces = [_loose(piece) for piece in _GLOB.sub(unknown.GLOB, text).split()]
                begins, ends = text[:1].isspace(), text[-1:].isspace()
                if not unknown.plain(text):
                    pieces = [text] if made and text else []
                    begins = ends = False
            if glued and not begins and pieces:
                made[-1] = self._counted(unknown.joined((made[-1], pieces.pop(0))))
            made += map(self._counted, pieces)
            glued = bool(made) and not ends
        return made

    # Programs

    def words(self, words: Sequence[str], stdin: str | None) -> Result:
        """A command by its words."""
        if not words:
            return DONE
        name, rest = unknown.plain(words[0]), list(words[1:])
        if name in self.functions:
            return self._call(self.functions[name], rest, stdin)
        if name in _BUILTINS:
            return _BUILTINS[name](self, rest, stdin)
        if any(TOKEN.search(word) for word in rest):
            self.machine.tokens_in_arguments = True
        program = _PROGRAMS.get(posixpath.basename(name))
        return program(self, rest, stdin) if program else self._program(name, rest, stdin)

    def _call(self, body: shell.Command | None, arguments: Sequence[str], stdin: str | None) -> Result:
        if self.depth >= _DEEPEST or body is None:
            raise Unreadable
        before, self.arguments = self.arguments, tuple(arguments)  # perhaps one of them is loose
        self.depth += 1
        try:
            return self.command(body, stdin)
        finally:
            self.arguments, self.returned = before, False
            self.depth -= 1

    def _program(self, name: str, arguments: Sequence[str], stdin: str | None) -> Result:
        """One that is not known: what it is told of may be changed, and its output is its own."""
        script = self.machine.files.get(self._path(name)) if "/" in name else None
        if script and len(script) == 1 and script[0]:
            return self._script(script[0].text, arguments, stdin)
        if not _LOOKING.fullmatch(posixpath.basename(name)):
            self._count(100 * len(self.machine.files) * (1 + len(arguments)))
            told = "\n".join((*arguments, stdin or ""))
            for path in dict.fromkeys((*self.machine.files, *self.machine.watched)):
                if path in told or any(self._could_mean(argument, path) for argument in arguments):
                    self._meddled(path)
                    files.change(self.machine.files, path, unknown.CHANGED, self.machine.where)
        return unknown.OUTPUT, None

    def _could_mean(self, argument: str, path: str) -> bool:
        known = unknown.is_known(argument)
        return self._path(argument) == path if known else unknown.could_be(self._path(argument), path)

    def _script(self, text: str, arguments: Sequence[str], stdin: str | None) -> Result:
        """A program whose text is known: one that the user-data wrote itself."""
        match = re.match(r"#!\s*(?:/usr/bin/env\s+)?(?:/usr)?(?:/bin/)?(\w+)", text)
        if match and _SHELLS.fullmatch(match[1]):
            return self._inner(text, arguments, stdin, posix=match[1] != "bash")
        if match and match[1].startswith("python"):
            self._python(text)
        else:
            self._mentioned(text)
        return unknown.OUTPUT, None

    def _python(self, text: str) -> None:
        python.run(text, self.machine.files, self.umask, self.machine.where, self.machine.watched)

    def _mentioned(self, text: str) -> None:
        for path in self.machine.watched:
            if path in text:
                files.change(self.machine.files, path, unknown.PROGRAM, self.machine.where)

    def _inner(self, text: str, arguments: Sequence[str], stdin: str | None, *, posix: bool) -> Result:
        """Another shell, which knows what is exported."""
        if self.depth >= _DEEPEST:
            raise Unreadable
        if not unknown.is_known(text):
            self._mentioned(text)
            return unknown.OUTPUT, None
        inner = Run(
            self.machine,
            posix,
            {name: value for name, value in self.variables.items() if name in self.exported},
            set(self.exported),
            umask=self.umask,
            folder=self.folder,
            arguments=tuple(arguments),
            depth=self.depth + 1,
        )
        return inner.everything(text, stdin)

    # Built into the shell

    def echo(self, words: list[str], stdin: str | None) -> Result:
        return builtin.echo(words, posix=self.posix), True

    def printf(self, words: list[str], stdin: str | None) -> Result:
        if words[:1] == ["-v"] and len(words) > 2:
            self.variables[words[1]] = builtin.printf(words[2:])
            return DONE
        return builtin.printf(words), True

    def good(self, words: list[str], stdin: str | None) -> Result:
        return DONE

    def bad(self, words: list[str], stdin: str | None) -> Result:
        return "", False

    def test(self, words: list[str], stdin: str | None) -> Result:
        said = words[:-1] if words[-1:] == ["]"] else words
        if len(said) == 2 and said[0] in ("-e", "-f", "-r"):
            options = self.machine.files.get(self._path(said[1]), ())
            return "", True if options and all(options) else None
        return "", builtin.test(said)

    def cd(self, words: list[str], stdin: str | None) -> Result:
        target = next((word for word in words if not word.startswith("-")), unknown.ENVIRONMENT)
        self.folder = self._path(target) if unknown.is_known(target) else unknown.ENVIRONMENT
        return DONE

    def set_umask(self, words: list[str], stdin: str | None) -> Result:
        if words and unknown.is_known(words[0]):
            octal = re.fullmatch(r"[0-7]{1,4}", words[0])
            mode = files.mode_of(words[0], 0o777 & ~self.umask)
            if octal or mode >= 0:  # else the shell complains, and all stays as it was
                self.umask = int(words[0], 8) if octal else 0o777 & ~mode
        elif words and not words[0].startswith("-"):
            self.umask = -1
        return DONE

    def declare(self, words: list[str], stdin: str | None) -> Result:
        for word in words:
            name, equals, value = word.partition("=")
            if equals and _NAME.fullmatch(name):
                self.variables[name] = value
            self.exported.add(name)
        return DONE

    def unset(self, words: list[str], stdin: str | None) -> Result:
        for word in words:
            self.variables.pop(word, None)
        return DONE

    def set_options(self, words: list[str], stdin: str | None) -> Result:
        if "--" in words:
            self.arguments = tuple(words[words.index("--") + 1 :])
        return DONE

    def shift(self, words: list[str], stdin: str | None) -> Result:
        if self.posix and not self.arguments:
            raise Unreadable  # dash ends here, bash goes on
        self.arguments = self.arguments[1:]
        return DONE

    def read(self, words: list[str], stdin: str | None) -> Result:
        for word in words:
            if _NAME.fullmatch(word):
                self.variables[word] = unknown.INPUT
        self.variables["REPLY"] = unknown.INPUT
        return "", None

    def eval(self, words: list[str], stdin: str | None) -> Result:
        text = unknown.joined(words, " ")
        if unknown.is_known(text):
            return self.sequence(shell.read(unknown.plain(text), posix=self.posix), stdin)
        return self._lost(text)

    def source(self, words: list[str], stdin: str | None) -> Result:
        path = self._path(words[0]) if words else ""
        if path in self.machine.files:
            text = files.content(self.machine.files, path)
            if unknown.is_known(text):
                return self.sequence(shell.read(text, posix=self.posix), stdin)
        return self._lost("")

    def _lost(self, text: str) -> Result:
        """Anything may be set now."""
        self.sourced = True
        self.variables = dict.fromkeys(self.variables, unknown.SOURCED)
        self._mentioned(text)
        return unknown.OUTPUT, None

    def exit(self, words: list[str], stdin: str | None) -> Result:
        self.ended = True
        return "", None

    def return_(self, words: list[str], stdin: str | None) -> Result:
        self.returned = self.depth > 0
        return "", None

    def leave_loop(self, words: list[str], stdin: str | None) -> Result:
        raise Unreadable

    def trap(self, words: list[str], stdin: str | None) -> Result:
        self._mentioned(" ".join(words))
        return DONE

    def bare(self, words: list[str], stdin: str | None) -> Result:
        """command and builtin."""
        while words and words[0].startswith("-"):
            if words.pop(0) in ("-v", "-V"):
                return unknown.OUTPUT, None
        return self.words(words, stdin)

    def replaced(self, words: list[str], stdin: str | None) -> Result:
        """exec with a program: nothing comes after it."""
        result = self.words(words, stdin)
        self.ended = True
        return result

    # Programs that copy text

    def behind(self, words: list[str], stdin: str | None) -> Result:
        """sudo, env and the like: the program stands behind their own words."""
        while words and (words[0].startswith("-") or re.match(r"[A-Za-z_]\w*=", words[0])):
            if words.pop(0) in ("-u", "-g", "--user", "--group", "-C"):
                words = words[1:]
        if words and words[0] in self.functions:
            return "", False
        return self.words(words, stdin)

    def cat(self, words: list[str], stdin: str | None) -> Result:
        if any(word.startswith("-") and word not in ("-", "--", "-u") for word in words):
            return unknown.OUTPUT, None
        names = [word for word in words if word not in ("--", "-u")] or ["-"]
        texts = [self._content("/dev/stdin" if name == "-" else name, stdin) for name in names]
        return unknown.joined(texts), True

    def tee(self, words: list[str], stdin: str | None) -> Result:
        append = any(word in ("-a", "--append", "-ai", "-ia") for word in words)
        given = unknown.INPUT if stdin is None else stdin
        for word in words:
            if not word.startswith("-"):
                self._write(self._path(word), given, append=append)
        return given, True

    def base64(self, words: list[str], stdin: str | None) -> Result:
        decodes = bool(words) and words[0] in ("-d", "--decode", "-di", "-D")
        text = self._content(words[1], stdin) if len(words) > 1 else stdin
        if not decodes or text is None or not unknown.is_known(text):
            return unknown.OUTPUT, None
        try:
            return base64.b64decode("".join(text.split()), validate=True).decode(), True
        except (binascii.Error, ValueError):
            return unknown.OUTPUT, None

    def install(self, words: list[str], stdin: str | None) -> Result:
        mode, names = 0o755, []
        while words:
            word = words.pop(0)
            if word in ("-d", "--directory"):
                return DONE
            if word.startswith(("-m", "--mode")):
                text = (
                    word.partition("=")[2] or word[2:]
                    if len(word) > 2 and word != "--mode"
                    else words.pop(0)
                )
                mode = files.mode_of(text, 0) if unknown.is_known(text) else -1
            elif word in ("-o", "-g", "-S", "-t"):
                words = words[1:]
            elif not word.startswith("-"):
                names.append(word)
        if len(names) != 2:
            return self._program("install", names, stdin)
        self._put(
            self._target(names[1], names[0]), File(self._content(names[0], stdin), mode, self.machine.where)
        )
        return DONE

    def mv(self, words: list[str], stdin: str | None) -> Result:
        names = [word for word in words if not word.startswith("-")]
        if len(names) != 2 or not all(map(unknown.is_known, names)):
            return self._program("mv", names, stdin)
        source, target = self._path(names[0]), self._target(names[1], names[0])
        self._meddled(source)
        self._meddled(target)
        moved = (File(unknown.FETCHED, -1, self.machine.where),)
        self.machine.files[target] = self.machine.files.get(source, moved)
        files.remove(self.machine.files, source)
        return DONE

    def cp(self, words: list[str], stdin: str | None) -> Result:
        names = [word for word in words if not word.startswith("-")]
        if len(names) != 2 or not all(map(unknown.is_known, names)):
            return self._program("cp", names, stdin)
        target, keeps = (
            self._target(names[1], names[0]),
            any(word in ("-p", "-a", "-af", "-pf") for word in words),
        )
        (old, *_), source = (
            self.machine.files.get(target, files.ABSENT),
            self.machine.files.get(self._path(names[0])),
        )
        first = source[0] if source else None
        mode = first.mode if first else -1
        if not keeps:
            mode = old.mode if old else mode & ~self.umask if mode >= 0 <= self.umask else -1
        self._put(target, File(self._content(names[0], stdin), mode, self.machine.where))
        return DONE

    def _target(self, name: str, source: str) -> str:
        path = self._path(name)
        inside = name.endswith(("/", "/.")) or path in ("/etc", "/root", "/tmp", "/")
        return posixpath.join(path, posixpath.basename(source)) if inside else path

    def _put(self, path: str, file: File) -> None:
        self._meddled(path)
        if unknown.is_known(path):
            files.put(self.machine.files, path, file)
        else:
            self._touch(path, unknown.PROGRAM)

    def rm(self, words: list[str], stdin: str | None) -> Result:
        for word in words:
            path = self._path(word)
            self._meddled(path)
            if unknown.is_known(path):
                files.remove(self.machine.files, path)
            else:
                self._touch(path, unknown.CHANGED)
        return DONE

    def chmod(self, words: list[str], stdin: str | None) -> Result:
        rest = [word for word in words if not re.fullmatch(r"-[A-Zcfv]+|--\w+", word)]
        for word in rest[1:]:
            files.change_mode(self.machine.files, self._path(word), rest[0])
        return DONE

    def touch(self, words: list[str], stdin: str | None) -> Result:
        for word in words:
            if not word.startswith("-"):
                self._write(self._path(word), "", append=True)
        return DONE

    def another_shell(self, words: list[str], stdin: str | None, *, posix: bool) -> Result:
        while words and words[0].startswith(("-", "+")):
            option = words.pop(0)
            if re.fullmatch(r"-\w*c\w*", option) and words:
                return self._inner(unknown.plain(words[0]), words[2:], stdin, posix=posix)
            if option in ("-o", "+o", "-O"):
                words = words[1:]
        if not words:
            return self._inner(stdin or unknown.INPUT, (), None, posix=posix)
        return self._inner(self._content(words[0], None), words[1:], stdin, posix=posix)

    def python(self, words: list[str], stdin: str | None) -> Result:
        text = (
            stdin
            if not words or words == ["-"]
            else words[1]
            if words[0] == "-c" and len(words) > 1
            else None
        )
        if text is None and words and self._path(words[0]) in self.machine.files:
            text = self._content(words[0], None)
        if text is None or not unknown.is_known(text):
            return self._program("python", words, stdin)
        self._python(text)
        return unknown.OUTPUT, None


def _one_of(ends: Sequence[State]) -> State:
    first = ends[0]
    if all(end == first for end in ends):
        return first
    names = dict.fromkeys(name for end in ends for name in end.variables)
    bodies = {name: {end.functions.get(name) for end in ends} for end in ends for name in end.functions}
    values = {name: {end.variables.get(name) for end in ends} for name in names}
    return State(
        files=files.merged([end.files for end in ends]),
        variables={
            name: (found.pop() or "") if len(found) == 1 else unknown.BRANCH
            for name, found in values.items()
        },
        functions={name: found.pop() if len(found) == 1 else None for name, found in bodies.items()},
        arguments=first.arguments if len({end.arguments for end in ends}) == 1 else (_ANY_WORDS,),
        umask=first.umask if len({end.umask for end in ends}) == 1 else -1,
        folder=first.folder if len({end.folder for end in ends}) == 1 else unknown.BRANCH,
        sourced=any(end.sourced for end in ends),
        ended=all(end.ended for end in ends),
        returned=all(end.returned for end in ends),
    )


def _is_quoted(part: shell.Part) -> bool:
    """Is it safe from being split?"""
    return isinstance(part, Literal | AnsiText) or part.quoted


def _is_bare(part: shell.Part) -> bool:
    return isinstance(part, Literal) and not part.quoted


def _literal(text: str, *, first: bool) -> str:
    """What a shell makes of letters that are not quoted."""
    made = _GLOB.sub(unknown.GLOB, _BRACES.sub(unknown.GLOB, text))
    return _with_homes(_loose(made), first=first)


def _loose(text: str) -> str:
    """Of what is not known and not quoted, nobody knows how many words it is."""
    return text if unknown.is_known(text) else text + unknown.LOOSE


def _with_homes(text: str, *, first: bool) -> str:
    """A tilde at the beginning, or after a colon or an equals sign, is somebody's home."""
    return re.sub(r"(^|[:=])~[\w.-]*" if first else r"([:=])~[\w.-]*", rf"\1{unknown.ENVIRONMENT}", text)


Method = Callable[[Run, list[str], str | None], Result]
_BUILTINS: Mapping[str, Method] = {
    "echo": Run.echo,
    "printf": Run.printf,
    ":": Run.good,
    "true": Run.good,
    "false": Run.bad,
    "[": Run.test,
    "test": Run.test,
    "cd": Run.cd,
    "umask": Run.set_umask,
    **dict.fromkeys(("export", "declare", "local", "readonly", "typeset"), Run.declare),
    "unset": Run.unset,
    "set": Run.set_options,
    "shift": Run.shift,
    **dict.fromkeys(("read", "mapfile", "readarray", "getopts", "let"), Run.read),
    "eval": Run.eval,
    ".": Run.source,
    "source": Run.source,
    "exit": Run.exit,
    "return": Run.return_,
    "break": Run.leave_loop,
    "continue": Run.leave_loop,
    "trap": Run.trap,
    "command": Run.bare,
    "builtin": Run.bare,
    "exec": Run.replaced,
    **dict.fromkeys(("wait", "hash", "alias", "ulimit", "shopt", "pushd", "popd"), Run.good),
}
_PROGRAMS: Mapping[str, Method] = {
    **dict.fromkeys(("sudo", "env", "nohup"), Run.behind),
    **{
        name: getattr(Run, name)
        for name in ("echo", "printf", "cat", "tee", "base64", "install", "mv", "cp")
    },
    **{name: getattr(Run, name) for name in ("rm", "chmod", "touch")},
    "bash": lambda run, words, stdin: run.another_shell(words, stdin, posix=False),
    **dict.fromkeys(
        ("sh", "dash", "ash", "ksh"), lambda run, words, stdin: run.another_shell(words, stdin, posix=True)
    ),
    **dict.fromkeys(("python", "python3", "python2"), Run.python),
}
