r"""Parses the worker's file into values, problems and warnings. Pure.

Values are known by their settings, the names in the runtime; messages use the keys that the user wrote. No
message quotes a value, nor a line or a key that might be a misplaced token.

The file has one of two formats. `conf` has a line `Key = value` for each key, and the value is taken
literally. `environment` has a line `KEY=value`, perhaps after `export`, and means the same to a shell and
to systemd: single quotes enclose a literal value; in double quotes, a backslash escapes \ " $ and `, which
must not occur otherwise; a value without quotes contains none of \ " ' $ ` and no # after a blank. A value
without quotes means the same to docker's --env-file, too.
"""

import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from worker_runtime.configuration.kind import Key
from worker_runtime.configuration.values import problem_with

# The spellings of the first workers (2019). Other variants are accepted with a warning.
LEGACY_SPELLINGS = {"TOKEN": "Token", "START": "Start"}
# Short, or all in capitals, so that no part of a token is mistaken for the name of a key.
NAME = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,23}|[A-Z][A-Z_]{0,39})\Z")
# Not those of str.strip(), which removes control characters that must be detected.
_BLANKS = " \t\r"
_EXPORT = re.compile(r"export[ \t]+")
_IN_SINGLE = re.compile(r"'([^']*)'\Z")
_IN_DOUBLE = re.compile(r'"((?:[^"\\$`]|\\["\\$`])*)"\Z')
_ESCAPED = re.compile(r'\\(["\\$`])')
_NOT_BARE = re.compile(r"""["'\\$`]|[ \t]#""")


class Line(NamedTuple):
    """A line of the file with its number, from 1."""

    number: int
    key: str
    value: str


class Given(NamedTuple):
    """What is written, by the names of keys, and what is wrong with the writing itself."""

    values: Dict[str, str]
    problems: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()


class Unreadable(Exception):
    """Why a file cannot be read at all, in words."""


class WorkerConfig(NamedTuple):
    """The values by their settings, and everything that is wrong with them."""

    values: Dict[str, str]
    problems: Tuple[str, ...]
    warnings: Tuple[str, ...]


def parse(raw: bytes, keys: Sequence[Key], form: str) -> WorkerConfig:
    """All values of the file, and all of its problems at once."""
    try:
        return check(read(raw, keys, form), keys)
    except Unreadable as reason:
        return WorkerConfig({}, (str(reason),), ())


def read(raw: bytes, keys: Sequence[Key], form: str) -> Given:
    """The values of the file before any check of theirs. Raises Unreadable."""
    try:
        text = raw.decode("utf-8-sig")  # with the byte order mark of an editor on Windows
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable("line %d: not UTF-8 text" % number) from None
    lines, unread = _parse_lines(text, form)
    known, warnings = _known_keys(lines, keys)
    # The last one wins.
    return Given({line.key: line.value for line in known}, tuple(unread), tuple(warnings))


def check(given: Given, keys: Sequence[Key], spelled: Sequence[Key] = ()) -> WorkerConfig:
    """The values with defaults, and everything that is wrong with them.

    `spelled` are the same keys under the names that messages use, if these are others.
    """
    values = values_by_setting(given.values, keys)
    written = {key.setting for key in keys if key.name in given.values}
    problems = (*given.problems, *_problems(values, written, spelled or keys))
    return WorkerConfig(values, problems, given.warnings)


def values_by_setting(given: Mapping[str, str], keys: Sequence[Key]) -> Dict[str, str]:
    """The values by their settings, with defaults. A key has no default if another key replaces it."""
    return {key.setting: given.get(key.name) or _default(key, given, keys) for key in keys}


def _default(key: Key, given: Mapping[str, str], keys: Sequence[Key]) -> str:
    first = key.instead_of or key.name
    rivals = [other for other in keys if first in (other.name, other.instead_of)]
    return "" if any(given.get(other.name) for other in rivals) else key.default


def _parse_lines(text: str, form: str) -> Tuple[List[Line], List[str]]:
    lines, unread = [], []
    for number, raw in enumerate(text.split("\n"), 1):
        stripped = raw.strip(_BLANKS)
        if not stripped or stripped.startswith("#"):
            continue
        exported = _EXPORT.match(stripped) if form == "environment" else None
        key, equals, value = stripped[exported.end() if exported else 0 :].partition("=")
        read = parse_value(value.strip(_BLANKS), form)
        if not equals:
            unread.append("line %d: not of the form Key = value" % number)
        elif read is None:
            unread.append("line %d: a quotation mark, \\, $ or # that can be read in two ways" % number)
        else:
            lines.append(Line(number, key.strip(_BLANKS), read))
    return lines, unread


def parse_value(text: str, form: str) -> Optional[str]:
    """The value of a text; None if readers of `environment` would disagree about it."""
    if form == "conf":
        return text
    single, double = _IN_SINGLE.match(text), _IN_DOUBLE.match(text)
    if single:
        return single.group(1)
    if double:
        return _ESCAPED.sub(r"\1", double.group(1))
    return None if _NOT_BARE.search(text) else text


def _known_keys(lines: Sequence[Line], keys: Sequence[Key]) -> Tuple[List[Line], List[str]]:
    """The lines with a known key, under its proper name, and warnings about all others."""
    known: List[Line] = []
    warnings = []
    for line in lines:
        name = _proper_name(line.key, keys)
        shown = line.key if NAME.match(line.key) else "a key with an invalid name"
        if name is None:
            warnings.append("line %d: unknown key, ignored: %s" % (line.number, shown))
            continue
        if line.key != name and line.key not in LEGACY_SPELLINGS:
            warnings.append("line %d: %s is read as %s" % (line.number, shown, name))
        if any(earlier.key == name for earlier in known):
            warnings.append("line %d: %s again; the last one counts" % (line.number, name))
        known.append(Line(line.number, name, line.value))
    return known, warnings


def _proper_name(spelled: str, keys: Sequence[Key]) -> Optional[str]:
    for key in keys:
        if key.name.lower() == spelled.lower():
            return key.name
    return None


def _problems(values: Mapping[str, str], written: Set[str], keys: Sequence[Key]) -> List[str]:
    problems = []
    for key in keys:
        value = values[key.setting]
        if value:
            problem = problem_with(key.kind, value)
        elif key.required and not any(values[other.setting] for other in _alternatives(key, keys)):
            problem = "is empty" if key.setting in written else "is missing"
        else:
            problem = None
        if problem:
            problems.append("%s %s" % (key.name, problem))
    return problems + _conflicts(values, keys)


def _conflicts(values: Mapping[str, str], keys: Sequence[Key]) -> List[str]:
    """Of a key and those that can replace it, only one may be set."""
    problems = []
    for key in keys:
        given = [other.name for other in (key, *_alternatives(key, keys)) if values[other.setting]]
        if len(given) > 1:
            problems.append("%s: give only one of them" % ", ".join(given))
    return problems


def _alternatives(key: Key, keys: Sequence[Key]) -> List[Key]:
    return [other for other in keys if other.instead_of == key.name]
