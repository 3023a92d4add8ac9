"""Parse a shell script to a syntax tree.

The grammar is that of POSIX.1-2017 (XCU 2, Shell Command Language) and bash(1): words and their quoting,
assignments, redirections, here-documents, pipelines, lists and compound commands. A script with any other
syntax raises `Unreadable`: there is no partial result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import groupby

from bakery.userdata.lint.shell.syntax import (
    AndOr,
    AnsiText,
    Assignment,
    Case,
    Command,
    For,
    Function,
    Group,
    If,
    List,
    Literal,
    Opaque,
    Part,
    Pipeline,
    Redirect,
    Simple,
    Substitution,
    Test,
    Unreadable,
    Variable,
    While,
    Word,
)

_META = " \t\n;&|()<>"
_BLANKS = re.compile(r"(?:[ \t]+|\\\n)+")
_KEYWORD = re.compile(
    r"(?:if|then|elif|else|fi|for|while|until|do|done|case|esac|function|select|time|coproc|\{|\}|!|\[\[)"
    r"(?=[\s;&|()<>]|\Z)"
)
_REDIRECT = re.compile(r"(\d*)(<<<|<<-|<<|<&|<>|<(?!\()|>>|>\||>&|>(?!\()|&>>|&>)")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)(\+?)=", re.ASCII)
_SPECIAL = re.compile(r"[@*#?$!0-9-]")
_END_OF_TEST = re.compile(r"\s\]\](?=[\s;&|)]|\Z)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}


@dataclass(frozen=True)
class _Document:
    """A here-document whose text follows the line."""

    redirect: Redirect
    end: str
    quoted: bool


def read(text: str, *, posix: bool = False) -> List:
    """Parse a whole script. Raises Unreadable; with `posix` also for syntax of bash."""
    try:
        return _Parser(text, posix).script()
    except (RecursionError, IndexError):
        raise Unreadable from None


@dataclass
class _Parser:
    text: str
    posix: bool
    at: int = 0
    waiting: list[_Document] = field(default_factory=list)

    def script(self) -> List:
        made = self._list(())
        if self.at < len(self.text):
            raise Unreadable
        return made

    # Characters

    def _here(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, text: str) -> bool:
        if self._here(text):
            self.at += len(text)
            return True
        return False

    def _want(self, text: str) -> None:
        if not self._take(text):
            raise Unreadable

    def _bash_only(self) -> None:
        """Raise Unreadable in a script for sh: other shells parse this differently."""
        if self.posix:
            raise Unreadable

    def _until(self, sign: str) -> str:
        end = self.text.find(sign, self.at)
        if end < 0:
            raise Unreadable
        found, self.at = self.text[self.at : end], end + len(sign)
        return found

    def _blanks(self) -> None:
        if found := _BLANKS.match(self.text, self.at):
            self.at = found.end()
        if self._here("#") and (self.at == 0 or self.text[self.at - 1] in _META):
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end

    def _newlines(self) -> None:
        self._blanks()
        while self._take("\n"):
            self._documents()
            self._blanks()

    def _keyword(self) -> str:
        self._blanks()
        found = _KEYWORD.match(self.text, self.at)
        return found[0] if found else ""

    def _take_keyword(self, word: str) -> bool:
        if self._keyword() != word:
            return False
        self.at += len(word)
        return True

    def _want_keyword(self, word: str) -> None:
        if not self._take_keyword(word):
            raise Unreadable

    # Lists and pipelines

    def _list(self, stops: tuple[str, ...]) -> List:
        """Parse up to one of the stops, which is not consumed; without stops up to the end."""
        found: list[AndOr] = []
        while True:
            self._separators()
            if self.at >= len(self.text) and not stops:
                return tuple(found)
            if self._keyword() in stops or any(
                self._here(stop) for stop in stops if stop in (")", ";;", ";&")
            ):
                return tuple(found)
            before = self.at
            found.append(self._and_or())
            if self.at == before:
                raise Unreadable

    def _separators(self) -> None:
        while True:
            self._newlines()
            if self._here(";;") or self._here(";&") or self._here("&&"):
                return
            if not (self._take(";") or (self._peek() == "&" and not self._here("&>") and self._take("&"))):
                return

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while True:
            self._blanks()
            operator = next((one for one in ("&&", "||") if self._take(one)), "")
            if not operator:
                return AndOr(first, tuple(rest))
            self._newlines()
            rest.append((operator, self._pipeline()))

    def _pipeline(self) -> Pipeline:
        negated = False
        while self._keyword() in ("!", "time"):
            negated ^= self._take_keyword("!")
            self._take_keyword("time")
        commands = [self._command()]
        while True:
            self._blanks()
            if self._here("||") or not self._take("|"):
                return Pipeline(tuple(commands), negated)
            if self._take("&"):
                self._bash_only()
            self._newlines()
            commands.append(self._command())

    # Commands

    def _command(self) -> Command:
        if word := self._keyword():
            return self._compound(word)
        if self._here("(("):
            return self._counted()
        if self._take("("):
            body = self._list((")",))
            self._want(")")
            return Group(body, True, self._redirects())
        return self._simple()

    def _compound(self, word: str) -> Command:
        compound = {
            "if": self._if,
            "for": self._for,
            "select": self._for,
            "while": self._while,
            "until": self._while,
            "case": self._case,
            "{": self._braces,
            "[[": self._test,
            "function": self._named_function,
        }.get(word)
        if not compound:
            raise Unreadable
        self.at += len(word)
        return compound()

    def _if(self) -> Command:
        branches = []
        otherwise: List = ()
        while True:
            condition = self._list(("then",))
            self._want_keyword("then")
            branches.append((condition, self._list(("elif", "else", "fi"))))
            if not self._take_keyword("elif"):
                break
        if self._take_keyword("else"):
            otherwise = self._list(("fi",))
        self._want_keyword("fi")
        return If(tuple(branches), otherwise, self._redirects())

    def _while(self) -> Command:
        condition = self._list(("do",))
        return While(condition, self._do(), self._redirects())

    def _for(self) -> Command:
        self._blanks()
        if self._here("(("):
            self._counted()
            self._separators()
            return For("", None, self._do(), self._redirects())
        name, words = self._name(), None
        self._newlines()
        if self._in_keyword():
            words = []
            while (word := self._word()) is not None:
                words.append(word)
        self._separators()
        return For(name, None if words is None else tuple(words), self._do(), self._redirects())

    def _in_keyword(self) -> bool:
        self._blanks()
        found = re.compile(r"in(?=[\s;])").match(self.text, self.at)
        self.at += 2 if found else 0
        return bool(found)

    def _do(self) -> List:
        self._want_keyword("do")
        body = self._list(("done",))
        self._want_keyword("done")
        return body

    def _case(self) -> Command:
        word = self._word()
        if word is None:
            raise Unreadable
        self._newlines()
        if not self._in_keyword():
            raise Unreadable
        branches = []
        self._newlines()
        while not self._take_keyword("esac"):
            self._patterns()
            branches.append(self._list((";;", ";&", "esac")))
            for end in (";;&", ";;", ";&"):
                if self._take(end):
                    break
            self._newlines()
        return Case(word, tuple(branches), self._redirects())

    def _patterns(self) -> None:
        self._take("(")
        while True:
            if self._word() is None:
                raise Unreadable
            self._blanks()
            if not self._take("|"):
                break
        self._want(")")

    def _braces(self) -> Command:
        body = self._list(("}",))
        self._want_keyword("}")
        return Group(body, False, self._redirects())

    def _test(self) -> Command:
        self._bash_only()
        found = _END_OF_TEST.search(self.text, self.at)
        if not found:
            raise Unreadable
        self.at = found.end()
        return Test(self._redirects())

    def _counted(self) -> Command:
        self._bash_only()
        end = self.text.find("))", self.at)
        if end < 0:
            raise Unreadable
        self.at = end + 2
        return Test(self._redirects())

    def _named_function(self) -> Command:
        self._bash_only()
        self._blanks()
        name = self._name()
        self._blanks()
        if self._take("("):
            self._blanks()
            self._want(")")
        self._newlines()
        return Function(name, self._command())

    def _name(self) -> str:
        self._blanks()
        found = re.compile(r"[A-Za-z_][\w.-]*").match(self.text, self.at)
        if not found:
            raise Unreadable
        self.at = found.end()
        return found[0]

    def _simple(self) -> Command:
        assignments: list[Assignment] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self._blanks()
            if redirect := self._redirect():
                redirects.append(redirect)
            elif not words and (made := self._assignment()):
                assignments.append(made)
            elif (word := self._word()) is not None:
                words.append(word)
            elif self._here("(") and len(words) == 1 and not assignments and not redirects:
                return self._function(words[0])
            elif not (assignments or words or redirects):
                raise Unreadable
            else:
                return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def _function(self, word: Word) -> Command:
        self._want("(")
        self._blanks()
        self._want(")")
        if len(word) != 1 or not isinstance(word[0], Literal):
            raise Unreadable
        self._newlines()
        return Function(word[0].text, self._command())

    # Redirections and here-documents

    def _redirects(self) -> tuple[Redirect, ...]:
        found = []
        self._blanks()
        while redirect := self._redirect():
            found.append(redirect)
            self._blanks()
        return tuple(found)

    def _redirect(self) -> Redirect | None:
        match = _REDIRECT.match(self.text, self.at)
        if not match:
            return None
        self.at = match.end()
        operator = match[2]
        if operator == "<<<" or operator.startswith("&"):
            self._bash_only()
        usual = 0 if operator.startswith("<") else -1 if operator.startswith("&") else 1
        made = Redirect(int(match[1]) if match[1] else usual, operator)
        self._blanks()
        if operator in ("<<", "<<-"):
            self.waiting.append(self._announced(made))
            return made
        target = self._word()
        if target is None:
            raise Unreadable
        made.target = target
        return made

    def _announced(self, redirect: Redirect) -> _Document:
        word = self._word()
        if word is None or not all(isinstance(part, Literal) for part in word):
            raise Unreadable
        parts = [part for part in word if isinstance(part, Literal)]
        return _Document(redirect, "".join(part.text for part in parts), any(part.quoted for part in parts))

    def _documents(self) -> None:
        """Read the here-documents that the line before has announced."""
        waiting, self.waiting = self.waiting, []
        for document in waiting:
            body = self._body(document)
            document.redirect.target = (
                (Literal(body, True),) if document.quoted else _Parser(body, self.posix).document()
            )

    def _body(self, document: _Document) -> str:
        lines: list[str] = []
        while self.at < len(self.text):
            end = self.text.find("\n", self.at)
            end = len(self.text) if end < 0 else end
            line, self.at = self.text[self.at : end], min(end + 1, len(self.text))
            if document.redirect.operator == "<<-":
                line = line.lstrip("\t")
            if line == document.end:
                return "".join(lines)
            lines.append(line + "\n")
        return "".join(lines)  # bash takes everything up to the end, and warns

    def document(self) -> Word:
        """Parse the text of a here-document whose delimiter is not quoted."""
        return self._in_quotes("", document=True)

    # Words

    def _assignment(self) -> Assignment | None:
        match = _ASSIGNED.match(self.text, self.at)
        if not match:
            return None
        self.at = match.end()
        if match[2] or self._here("("):
            self._bash_only()
        if self._here("("):
            self._skip("(", ")")
            return Assignment(match[1], False, (Opaque(True),))
        return Assignment(match[1], bool(match[2]), self._word() or ())

    def _word(self) -> Word | None:
        """Parse a word; None if no word begins here."""
        self._blanks()
        start, parts = self.at, []
        while self.at < len(self.text):
            part = self._part()
            if part is None:
                break
            parts.extend(part)
        return tuple(_joined(parts)) if self.at > start else None

    def _part(self) -> list[Part] | None:
        sign = self._peek()
        if self._here("<(") or self._here(">("):
            self._bash_only()
            self.at += 1
            self._skip("(", ")")
            return [Opaque(False)]
        if sign in _META:
            return None
        if sign == "$":
            return [self._dollar(quoted=False)]
        if sign == "`":
            return [self._backquoted(quoted=False)]
        self.at += 1
        if sign == "'":
            return [Literal(self._until("'"), True)]
        if sign == '"':
            return [Literal("", True), *self._in_quotes('"')]
        if sign != "\\":
            return [Literal(sign)]
        escaped, self.at = self._peek(), self.at + 1
        return [] if escaped == "\n" else [Literal(escaped, True)]

    def _in_quotes(self, end: str, *, document: bool = False) -> Word:
        """Parse up to the closing quote, which is consumed; without one, to the end of the text."""
        parts: list[Part] = []
        while not (end and self._take(end)):
            if self.at >= len(self.text):
                if end:
                    raise Unreadable
                break
            sign = self._peek()
            if sign == "$":
                parts.append(self._dollar(quoted=True, document=document))
            elif sign == "`":
                parts.append(self._backquoted(quoted=True))
            elif self._take("\\\n"):
                continue
            else:
                if sign == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", "\\", end or "$"):
                    self.at += 1
                parts.append(Literal(self._peek(), True))
                self.at += 1
        return tuple(_joined(parts))

    def _dollar(self, *, quoted: bool, document: bool = False) -> Part:
        self._want("$")
        if self._here("(("):
            self._skip("(", ")")
            return Opaque(quoted)
        if self._take("("):
            body = self._list((")",))
            self._want(")")
            return Substitution(body, quoted)
        if self._take("{"):
            return self._braced(quoted, document)
        if not quoted and self._take("'"):
            return self._ansi()
        if not quoted and self._here('"'):
            self._bash_only()
            return Literal("", True)  # $"text" is a text for translation
        name = _NAME.match(self.text, self.at) or _SPECIAL.match(self.text, self.at)
        if not name:
            return Literal("$", quoted)
        self.at = name.end()
        return Variable(name[0], quoted, in_document=document)

    def _braced(self, quoted: bool, document: bool) -> Part:
        name = _NAME.match(self.text, self.at) or re.compile(r"[@*#?$!-]|\d+").match(self.text, self.at)
        if not name:
            raise Unreadable
        self.at = name.end()
        if self._take("}"):
            return Variable(name[0], quoted, in_document=document)
        operator = re.compile(":?[-=?+]").match(self.text, self.at)
        if not operator:
            self.at -= 1
            self._skip_braces()
            return Opaque(quoted)
        self.at = operator.end()
        word = self._in_quotes("}") if quoted else self._until_brace()
        return Variable(name[0], quoted, operator[0], word, document)

    def _until_brace(self) -> Word:
        parts: list[Part] = []
        while not self._take("}"):
            if self._peek() and self._peek() in _META:
                parts.append(Literal(self._peek(), True))
                self.at += 1
                continue
            part = self._part() if self._peek() else None
            if part is None:
                raise Unreadable
            parts.extend(part)
        return tuple(_joined(parts))

    def _ansi(self) -> Part:
        made = []
        while not self._take("'"):
            sign, self.at = self.text[self.at], self.at + 1
            if sign != "\\":
                made.append(sign)
                continue
            sign, self.at = self.text[self.at], self.at + 1
            if sign in "\\'\"?":
                made.append(sign)
            elif sign in _ESCAPES:
                made.append(_ESCAPES[sign])
            else:
                raise Unreadable
        return AnsiText("".join(made))

    def _backquoted(self, *, quoted: bool) -> Part:
        self._want("`")
        found = re.compile(r"(?:[^`\\]|\\.)*", re.DOTALL).match(self.text, self.at)
        inside = found[0] if found else ""
        self.at += len(inside)
        self._want("`")
        marks = r"\\([$`\\])" if not quoted else r'\\([$`\\"])'
        return Substitution(_Parser(re.sub(marks, r"\1", inside), self.posix).script(), quoted)

    def _skip(self, opening: str, closing: str) -> None:
        """Skip balanced parentheses and everything between them."""
        self._want(opening)
        depth = 1
        while depth:
            sign, self.at = self.text[self.at], self.at + 1
            if sign == "\\":
                self.at += 1
            elif sign == "'":
                self._until("'")
            elif sign == '"':
                self._in_quotes('"')
            elif sign in (opening, closing):
                depth += 1 if sign == opening else -1

    def _skip_braces(self) -> None:
        depth = 1
        while depth:
            sign, self.at = self.text[self.at], self.at + 1
            if sign == "\\":
                self.at += 1
            elif sign in ("'", '"'):
                self._until(sign)
            elif sign in "{}":
                depth += 1 if sign == "{" else -1


def _joined(parts: list[Part]) -> list[Part]:
    """Join adjacent literals."""
    made: list[Part] = []
    for (is_literal, quoted), run in groupby(parts, _kind):
        same = list(run)
        if is_literal:
            made.append(Literal("".join(one.text for one in same if isinstance(one, Literal)), quoted))
        else:
            made += same
    return made


def _kind(part: Part) -> tuple[bool, bool]:
    return isinstance(part, Literal), isinstance(part, Literal) and part.quoted
