"""The worker's file, `Key = value` a line: its text -> values, problems and warnings. Pure.

No message ever quotes a value, nor a line or a key that could be a token gone astray.
"""

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from worker_runtime.values import problem_with

# The spellings of the first workers (2019); every other variant is taken too, but warned of.
LEGACY = {"TOKEN": "Token", "START": "Start"}
# Short on purpose: no part of a token can pass for the name of a key.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,23}\Z")
# Not str.strip(): that also takes control characters, which are to be found and refused.
_BLANKS = " \t\r"


class Key(NamedTuple):
    name: str
    kind: str
    required: bool
    default: str
    instead_of: str = ""  # the required key that this one can stand for


class Line(NamedTuple):
    number: int
    key: str
    value: str


class Conf(NamedTuple):
    values: Dict[str, str]
    problems: Tuple[str, ...]
    warnings: Tuple[str, ...]


def keys_of(table: Mapping[str, Any]) -> Tuple[Key, ...]:
    """The rows of keys.json."""
    return tuple(
        Key(row["key"], row["kind"], row["required"], row["default"], row.get("instead_of", ""))
        for row in table["keys"]
    )


def parse(raw: bytes, keys: Sequence[Key]) -> Conf:
    """Everything the file says, and everything that is wrong with it, at once."""
    try:
        text = raw.decode("utf-8-sig")  # an editor on Windows may have left its mark
    except UnicodeDecodeError as error:
        number = raw.count(b"\n", 0, error.start) + 1
        return Conf({}, ("line %d: not UTF-8 text" % number,), ())
    lines, unread = _lines(text)
    known, warnings = _recognised(lines, keys)
    given = {line.key: line.value for line in known}  # the last one wins
    values = {key.name: given.get(key.name) or key.default for key in keys}
    return Conf(values, tuple(unread + _problems(values, given, keys)), tuple(warnings))


def _lines(text: str) -> Tuple[List[Line], List[str]]:
    lines, unread = [], []
    for number, raw in enumerate(text.split("\n"), 1):
        stripped = raw.strip(_BLANKS)
        if not stripped or stripped.startswith("#"):
            continue
        key, equals, value = stripped.partition("=")
        if equals:
            lines.append(Line(number, key.strip(_BLANKS), value.strip(_BLANKS)))
        else:
            unread.append("line %d: not of the form Key = value" % number)
    return lines, unread


def _recognised(lines: Sequence[Line], keys: Sequence[Key]) -> Tuple[List[Line], List[str]]:
    """The lines whose key is known, under its proper name, and warnings about all others."""
    known: List[Line] = []
    warnings = []
    for line in lines:
        name = _proper_name(line.key, keys)
        shown = line.key if _NAME.match(line.key) else "a key that is no name"
        if name is None:
            warnings.append("line %d: unknown key, ignored: %s" % (line.number, shown))
            continue
        if line.key != name and line.key not in LEGACY:
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


def _problems(
    values: Mapping[str, str], given: Mapping[str, str], keys: Sequence[Key]
) -> List[str]:
    problems = []
    for key in keys:
        value = values[key.name]
        if value:
            problem = problem_with(key.kind, value)
        elif key.required and not any(values[name] for name in _instead_of(key, keys)):
            problem = "is empty" if key.name in given else "is missing"
        else:
            problem = None
        if problem:
            problems.append("%s %s" % (key.name, problem))
    return problems + _too_many(values, keys)


def _too_many(values: Mapping[str, str], keys: Sequence[Key]) -> List[str]:
    """Of a key and those that can stand for it, one is to be given."""
    problems = []
    for key in keys:
        given = [name for name in (key.name, *_instead_of(key, keys)) if values[name]]
        if len(given) > 1:
            problems.append("%s: give only one of them" % ", ".join(given))
    return problems


def _instead_of(key: Key, keys: Sequence[Key]) -> List[str]:
    return [other.name for other in keys if other.instead_of == key.name]
