"""Follow the commands of a script: lists, pipelines, compound commands, redirections and functions.

If a condition is not known, both branches are followed. What a loop of unknown length or an unknown program
produces is unknown.
"""

from __future__ import annotations

import posixpath
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from bakery.userdata.lint import files, python, unknown
from bakery.userdata.lint.shell import parser, syntax
from bakery.userdata.lint.shell.expansion import Expansion
from bakery.userdata.lint.shell.state import DONE, Result
from bakery.userdata.lint.shell.syntax import Unreadable

# Programs that read the files in their arguments and change neither their content nor their mode.
_READ_ONLY = re.compile(
    r"systemctl|service|ls|stat|chown|chgrp|restorecon|chcon|setfacl|getfacl|logger|grep|egrep|head|tail|wc|"
    r"md5sum|sha\d+sum|diff|cmp|file|sync|condor_\w+|worker-image|mkdir|dirname|basename|sleep|less|more|cksum"
)
_SHELLS = re.compile(r"(?:/usr)?(?:/bin/)?(bash|sh|dash|ash|ksh)")
# Commands that print nothing to standard error.
_WITHOUT_STDERR = (["echo"], ["printf"], [":"], ["true"])
_MOST_ROUNDS = 64
_MOST_CALLS = 12
_COST_OF_A_COMMAND = 3000  # in characters, see state.ShellState.count


class Interpreter(Expansion):
    """A shell that follows commands."""

    @abstractmethod
    def words(self, words: Sequence[str], stdin: str | None) -> Result:
        """Run a simple command after its expansion: a function, a builtin, or a program."""

    def script(self, text: str, stdin: str | None = None) -> Result:
        """Run a whole script. Raises Unreadable."""
        return self.sequence(parser.read(text, posix=self.posix), stdin)

    # Lists

    def sequence(self, body: syntax.List, stdin: str | None) -> Result:
        """Run a list of commands."""
        made: list[str] = []
        last: bool | None = True
        for one in body:
            if self.ended or self.returned:
                break
            out, last = self._and_or(one, stdin)
            made += [self.counted(out)] if out else []
        return unknown.joined(made), last

    def _and_or(self, one: syntax.AndOr, stdin: str | None) -> Result:
        out, success = self._pipeline(one.first, stdin)
        for operator, pipeline in one.rest:
            if self.ended or self.returned:
                break
            if success is None:
                more, success = self.branch(lambda: DONE, partial(self._pipeline, pipeline, stdin))
                success = None
            elif success == (operator == "&&"):
                more, success = self._pipeline(pipeline, stdin)
            else:
                continue
            out = unknown.joined((out, more))
        return out, success

    def _pipeline(self, pipeline: syntax.Pipeline, stdin: str | None) -> Result:
        self.count(_COST_OF_A_COMMAND * len(pipeline.commands))
        if len(pipeline.commands) == 1:
            out, success = self.command(pipeline.commands[0], stdin)
        else:
            out, success = self._piped(pipeline.commands, stdin)
        return out, (None if success is None else not success) if pipeline.negated else success

    def _piped(self, commands: Sequence[syntax.Command], stdin: str | None) -> Result:
        """Run the commands of a pipe. They run at once: a file that two of them use becomes unknown."""
        out, last = stdin, None
        before, used = self.machine.used, Counter[str]()
        changed: set[str] = set()
        for command in commands:
            self.machine.used, old = set(), dict(self.machine.files)
            with self.subshell():
                out, last = self.command(command, out)
            used.update(self.machine.used)
            self.count(20 * len(old))
            changed |= {path for path, now in self.machine.files.items() if now != old.get(path)}
        self.machine.used = before | set(used)
        for path in changed:
            if used[path] > 1:
                self.write_unknown(path, unknown.PROGRAM)
        return out or "", last

    # Commands

    def command(self, command: syntax.Command, stdin: str | None) -> Result:
        """Run one command."""
        if isinstance(command, syntax.Simple):
            return self._simple(command, stdin)
        if isinstance(command, syntax.Function):
            self.functions[command.name] = command.body
            return DONE
        return self._redirected(command.redirects, lambda source: self._compound(command, source), stdin)

    def _compound(self, command: syntax.Command, stdin: str | None) -> Result:
        if isinstance(command, syntax.Group):
            if not command.subshell:
                return self.sequence(command.body, stdin)
            with self.subshell():
                return self.sequence(command.body, stdin)
        if isinstance(command, syntax.If):
            return self._if(command.branches, command.otherwise, stdin)
        if isinstance(command, syntax.For):
            return self._for(command, stdin)
        if isinstance(command, syntax.While):
            return self.repeat(lambda: self.sequence((*command.condition, *command.body), unknown.LOOP))
        if isinstance(command, syntax.Case):
            self.text(command.word)  # the expansion can set a variable
            bodies = [partial(self.sequence, body, stdin) for body in command.branches]
            return self.branch(lambda: DONE, *bodies)
        return "", None

    def _if(
        self,
        branches: tuple[tuple[syntax.List, syntax.List], ...],
        otherwise: syntax.List,
        stdin: str | None,
    ) -> Result:
        if not branches:
            return self.sequence(otherwise, stdin)
        (condition, body), rest = branches[0], branches[1:]
        out, holds = self.sequence(condition, stdin)
        if holds:
            more, success = self.sequence(body, stdin)
        elif holds is False:
            more, success = self._if(rest, otherwise, stdin)
        else:
            more, success = self.branch(
                lambda: self.sequence(body, stdin), lambda: self._if(rest, otherwise, stdin)
            )
        return unknown.joined((out, more)), success

    def _for(self, loop: syntax.For, stdin: str | None) -> Result:
        words = None if loop.words is None else self.all_fields(loop.words)
        if words is None or len(words) > _MOST_ROUNDS or not all(map(unknown.is_known, words)):
            self.variables[loop.name] = unknown.LOOP
            return self.repeat(lambda: self.sequence(loop.body, stdin))
        out = ""
        for word in words:
            self.variables[loop.name] = word
            out = unknown.joined((out, self.sequence(loop.body, stdin)[0]))
        return out, None

    def _simple(self, command: syntax.Simple, stdin: str | None) -> Result:
        if not command.words:
            for one in command.assignments:
                self._assign(one)
            return self._redirected(command.redirects, lambda _: DONE, stdin)
        words = self.all_fields(command.words)
        if words == ["exec"]:
            return self._exec(command.redirects)
        can_complain = words[:1] not in _WITHOUT_STDERR
        return self._redirected(
            command.redirects, lambda source: self.words(words, source), stdin, can_complain=can_complain
        )

    def _assign(self, one: syntax.Assignment) -> None:
        # A variable that is unset at its first += is no mistake.
        value = unknown.joined((self.value(one.name) if one.appends else "", self.text(one.value)))
        self.variables[one.name] = value.replace(unknown.unset(one.name), "")

    def _exec(self, redirects: Sequence[syntax.Redirect]) -> Result:
        """Redirect the output of all further commands: the content of that file becomes unknown."""
        for redirect in redirects:
            path = self.path(self.text(redirect.target))
            if redirect.operator.startswith((">", "&>")) and not path.startswith("/dev/"):
                self.write_unknown(path, unknown.PROGRAM)
        return DONE

    def _redirected(
        self,
        redirects: Sequence[syntax.Redirect],
        run: Callable[[str | None], Result],
        stdin: str | None,
        *,
        can_complain: bool = True,
    ) -> Result:
        """Run a command with its redirections; `run` gets its standard input.

        If standard error, of which nothing is known, is written to the same file, its content is unknown.
        """
        sink, stdin, with_stderr = self._opened(redirects, stdin)
        if not sink or sink in ("/dev/stdout", "/dev/fd/1"):
            return run(stdin)
        self.machine.open.append(sink)
        out, success = run(stdin)
        self.machine.open.pop()
        self.write(sink, out, append=True)
        is_mixed = sink in self.machine.mixed and sink not in self.machine.open
        if (with_stderr and can_complain) or is_mixed:
            self.machine.mixed.discard(sink)
            self.write_unknown(sink, unknown.PROGRAM)
        return "", success

    def _opened(
        self, redirects: Sequence[syntax.Redirect], stdin: str | None
    ) -> tuple[str, str | None, bool]:
        """Apply redirections: the path of stdout or "", the text of stdin, whether stderr joins stdout."""
        sink, with_stderr = "", False
        for one in redirects:
            target = self.text(one.target)
            with_stderr |= one.operator.startswith("&") or (one.fd == 2 and target == "1")
            if one.operator in ("<<", "<<-"):
                stdin = target
            elif one.operator == "<<<":
                stdin = target + "\n"
            elif one.operator == "<":
                stdin = self.content(target, stdin)
            elif one.operator.startswith((">", "&>")) and not re.fullmatch(r"\d+|-", target):
                path = self.path(target)
                self.write(path, "", append=">>" in one.operator)
                sink = path if one.fd in (1, -1) else sink
            elif one.fd == 1 and target == "2":
                sink = "/dev/stderr"
        return sink, stdin, with_stderr

    # Functions, programs and other shells

    def call(self, body: syntax.Command | None, arguments: Sequence[str], stdin: str | None) -> Result:
        """Call a function. Raises Unreadable: its body depends on a condition, or calls nest too deep."""
        if self.depth >= _MOST_CALLS or body is None:
            raise Unreadable
        before, self.arguments = self.arguments, tuple(arguments)
        self.depth += 1
        try:
            return self.command(body, stdin)
        finally:
            self.arguments, self.returned = before, False
            self.depth -= 1

    def program(self, name: str, arguments: Sequence[str], stdin: str | None) -> Result:
        """Run a program that is not known: its output is unknown, and so is each file that it is passed."""
        script = self.machine.files.get(self.path(name)) if "/" in name else None
        if script and len(script) == 1 and script[0]:
            return self._own_program(script[0].text, arguments, stdin)
        if not _READ_ONLY.fullmatch(posixpath.basename(name)):
            self.count(100 * len(self.machine.files) * (1 + len(arguments)))
            passed = "\n".join((*arguments, stdin or ""))
            for path in dict.fromkeys((*self.machine.files, *self.machine.watched)):
                if path in passed or any(self._can_name(argument, path) for argument in arguments):
                    self.note_use(path)
                    files.change(self.machine.files, path, unknown.CHANGED, self.machine.where)
        return unknown.OUTPUT, None

    def _can_name(self, argument: str, path: str) -> bool:
        known = unknown.is_known(argument)
        return self.path(argument) == path if known else unknown.could_be(self.path(argument), path)

    def _own_program(self, text: str, arguments: Sequence[str], stdin: str | None) -> Result:
        """Run a program that the user-data wrote itself."""
        match = re.match(r"#!\s*(?:/usr/bin/env\s+)?(?:/usr)?(?:/bin/)?(\w+)", text)
        if match and _SHELLS.fullmatch(match[1]):
            return self.new_shell(text, arguments, stdin, posix=match[1] != "bash")
        if match and match[1].startswith("python"):
            self.python(text)
        else:
            self.change_mentioned(text)
        return unknown.OUTPUT, None

    def python(self, text: str) -> None:
        """Run a Python program."""
        python.run(text, self.machine.files, self.umask, self.machine.where, self.machine.watched)

    def new_shell(self, text: str, arguments: Sequence[str], stdin: str | None, *, posix: bool) -> Result:
        """Run a script in a new shell, which inherits the exported variables. Raises Unreadable."""
        if self.depth >= _MOST_CALLS:
            raise Unreadable
        if not unknown.is_known(text):
            self.change_mentioned(text)
            return unknown.OUTPUT, None
        inner = type(self)(
            self.machine,
            posix,
            {name: value for name, value in self.variables.items() if name in self.exported},
            set(self.exported),
            umask=self.umask,
            folder=self.folder,
            arguments=tuple(arguments),
            depth=self.depth + 1,
        )
        return inner.script(text, stdin)
