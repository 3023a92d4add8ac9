"""Expand the words of a shell command: variables, substitutions, and field splitting.

Patterns of file names and braces are recognized, but not expanded: their result is unknown.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence

from bakery.userdata.lint import unknown
from bakery.userdata.lint.shell import syntax
from bakery.userdata.lint.shell.state import ANY_WORDS, Result, ShellState
from bakery.userdata.lint.shell.syntax import AnsiText, Literal, Opaque, Substitution, Variable, Word

_ENVIRONMENT = re.compile(
    r"BASH\w*|LC_\w+|SYSTEMD_\w+|(?:https?|ftp|no|all)_proxy|(?:HTTPS?|NO)_PROXY|"
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|OLDPWD|HOSTNAME|HOSTTYPE|OSTYPE|MACHTYPE|E?UID|PPID|S?RANDOM|SECONDS|LINENO|"
    r"LANG|LANGUAGE|TERM|SHLVL|IFS|OPTIND|OPTARG|INSTANCE_ID|GROUPS|DIRSTACK|COLUMNS|LINES|INVOCATION_ID|"
    r"JOURNAL_STREAM|TZ|EPOCH\w+|FUNCNAME|REPLY|PIPESTATUS|PS[0-4]|_"
)
_BRACES = re.compile(r"\{(?:[^{},.]|\.(?!\.))*(?:,|\.\.)[^{}]*\}")
_GLOB = re.compile(r"[*?]|\[(?=[^\]]{1,255}\])")
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_DECLARING = frozenset((Literal(name),) for name in ("export", "declare", "local", "readonly", "typeset"))


class Expansion(ShellState):
    """A shell that expands words."""

    @abstractmethod
    def sequence(self, body: syntax.List, stdin: str | None) -> Result:
        """Run a list of commands, for a command substitution."""

    def text(self, word: Word) -> str:
        """Expand a word without field splitting, as in an assignment."""
        made = [
            _with_homes(self._part(part), first=number == 0) if _is_bare(part) else self._part(part)
            for number, part in enumerate(word)
        ]
        return self.counted(unknown.joined(made))

    def _part(self, part: syntax.Part) -> str:
        if isinstance(part, Literal):
            return part.text
        if isinstance(part, AnsiText):
            return unknown.DIALECT if self.posix else part.text
        if isinstance(part, Opaque):
            return unknown.PARAMETER
        if isinstance(part, Substitution):
            with self.subshell():
                return self.sequence(part.body, None)[0].rstrip("\n")
        return self._variable(part)

    def _variable(self, part: Variable) -> str:
        value = self.value(part.name, in_document=part.in_document)
        if not part.operator:
            return value
        is_set, kind = not unknown.unset_in(value) or bool(unknown.plain(value)), part.operator[-1]
        if not unknown.is_known(value) and (part.operator[0] == ":" or value == unknown.ENVIRONMENT):
            return value if kind == "?" else unknown.PARAMETER
        counts_as_set = bool(unknown.plain(value)) if part.operator[0] == ":" else is_set
        if kind == "+":
            return self.text(part.word) if counts_as_set else ""
        if counts_as_set:
            return value
        if kind == "?":
            self.ended = True
            return ""
        if kind == "=":
            self.variables[part.name] = self.text(part.word)
        return self.text(part.word)

    def value(self, name: str, *, in_document: bool = False) -> str:
        """The value of a variable or of a positional or special parameter."""
        if name in self.variables:
            return self.variables[name]
        if name.isdigit() and name != "0":
            return self._argument(int(name))
        if name in ("@", "*"):
            return unknown.joined(self.arguments, " ")
        if not NAME.fullmatch(name):
            return unknown.PARAMETER
        if self.sourced:
            return unknown.SOURCED
        if _ENVIRONMENT.fullmatch(name):
            return unknown.ENVIRONMENT_IN_DOCUMENT if in_document else unknown.ENVIRONMENT
        return unknown.unset(f"<<{name}" if in_document else name)

    def _argument(self, number: int) -> str:
        if any(unknown.UNSPLIT in one for one in self.arguments[:number]):
            return unknown.PARAMETER
        known = self.arguments[number - 1 : number]
        return known[0] if known else unknown.unset(str(number))

    def all_fields(self, words: Sequence[Word]) -> list[str]:
        """Expand the words of a command to its fields: its name and its arguments."""
        made: list[str] = []
        declares = bool(words) and words[0] in _DECLARING
        for word in words:
            made += self._declared(word) if declares else self._fields(word)
        return made

    def _declared(self, word: Word) -> list[str]:
        """Expand `NAME=value` after `export` and the like: bash does not split the value, dash does."""
        first = word[0] if word else None
        if not (isinstance(first, Literal) and not first.quoted and re.match(r"[A-Za-z_]\w*=", first.text)):
            return self._fields(word)
        text = self.text(word)
        name, _, value = text.partition("=")
        splits = self.posix and re.search(r"\s", value) and not all(map(_is_quoted, word))
        return [f"{name}={unknown.DIALECT}" if splits else text]

    def _fields(self, word: Word) -> list[str]:
        """Expand a word and split its unquoted expansions at blanks; `"$@"` gives the arguments."""
        parts = [part for part in word if part != Literal("", True)]
        if len(parts) == 1 and isinstance(parts[0], Variable) and parts[0].name == "@" and parts[0].quoted:
            return list(self.arguments)
        if len(self.arguments) > 1 and any(isinstance(one, Variable) and one.name == "@" for one in parts):
            return [ANY_WORDS]
        made: list[str] = []
        continues = False
        for number, part in enumerate(word):
            text = self._part(part)
            if _is_quoted(part):
                pieces = [_literal(text, first=number == 0) if _is_bare(part) else text]
                begins = ends = False
            else:
                pieces = [_marked(piece) for piece in _GLOB.sub(unknown.GLOB, text).split()]
                begins, ends = text[:1].isspace(), text[-1:].isspace()
                if not unknown.plain(text):
                    pieces = [text] if made and text else []
                    begins = ends = False
            if continues and not begins and pieces:
                made[-1] = self.counted(unknown.joined((made[-1], pieces.pop(0))))
            made += map(self.counted, pieces)
            continues = bool(made) and not ends
        return made


def _is_quoted(part: syntax.Part) -> bool:
    """Whether field splitting leaves the part alone."""
    return isinstance(part, Literal | AnsiText) or part.quoted


def _is_bare(part: syntax.Part) -> bool:
    return isinstance(part, Literal) and not part.quoted


def _literal(text: str, *, first: bool) -> str:
    """Expand braces, patterns and tildes of unquoted characters."""
    made = _GLOB.sub(unknown.GLOB, _BRACES.sub(unknown.GLOB, text))
    return _with_homes(_marked(made), first=first)


def _marked(text: str) -> str:
    """Mark an unquoted text that is not known: it can become any number of words."""
    return text if unknown.is_known(text) else text + unknown.UNSPLIT


def _with_homes(text: str, *, first: bool) -> str:
    """Replace a tilde at the beginning, or after a colon or an equals sign, by an unknown path."""
    return re.sub(r"(^|[:=])~[\w.-]*" if first else r"([:=])~[\w.-]*", rf"\1{unknown.ENVIRONMENT}", text)
