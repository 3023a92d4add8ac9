"""The syntax tree of a shell script.

After POSIX.1-2017 (XCU 2, Shell Command Language) and bash(1).
"""

from __future__ import annotations

from dataclasses import dataclass


class Unreadable(Exception):
    """The script uses syntax or a command that the check cannot follow."""


@dataclass(frozen=True)
class Literal:
    text: str
    quoted: bool = False


@dataclass(frozen=True)
class Variable:
    """`$name`, `${name}`, or `${name OPERATOR word}`; the operator is one of - = ? +, or :- := :? :+."""

    name: str
    quoted: bool
    operator: str = ""
    word: Word = ()
    in_document: bool = False


@dataclass(frozen=True)
class Substitution:
    """`$(list)`"""

    body: List
    quoted: bool


@dataclass(frozen=True)
class Opaque:
    """An expansion that is recognized, but not evaluated."""

    quoted: bool


@dataclass(frozen=True)
class AnsiText:
    """`$'text'`, which dash reads as a dollar sign and a quoted text."""

    text: str


Part = Literal | Variable | Substitution | Opaque | AnsiText
Word = tuple[Part, ...]


@dataclass(eq=False)
class Redirect:
    """A redirection; fd is -1 for both outputs. The target of << is the document, set after its line."""

    fd: int
    operator: str
    target: Word = ()


@dataclass(frozen=True)
class Assignment:
    name: str
    appends: bool
    value: Word


@dataclass(frozen=True)
class Simple:
    assignments: tuple[Assignment, ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True)
class Group:
    """`{ list; }`, or in a subshell `( list )`."""

    body: List
    subshell: bool
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True)
class If:
    branches: tuple[tuple[List, List], ...]
    otherwise: List
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True)
class For:
    name: str
    words: tuple[Word, ...] | None  # None: the positional parameters, or a count
    body: List
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True)
class While:
    condition: List
    body: List
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True)
class Case:
    word: Word
    branches: tuple[List, ...]
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True)
class Function:
    name: str
    body: Command


@dataclass(frozen=True)
class Test:
    """`[[ … ]]` or `(( … ))`"""

    redirects: tuple[Redirect, ...] = ()


Command = Simple | Group | If | For | While | Case | Function | Test


@dataclass(frozen=True)
class Pipeline:
    commands: tuple[Command, ...]
    negated: bool


@dataclass(frozen=True)
class AndOr:
    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...]


List = tuple[AndOr, ...]
