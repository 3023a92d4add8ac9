"""Values that are not known before the boot, as characters within a text.

A text that is known in part remains a string: it can be joined, split and written to a file. Each reason
why a value is unknown is one character of a Unicode private use plane, which user-data does not contain.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST = 1024 * 1024  # characters; a longer text becomes LONG
OUTPUT = "\U000f0000"
SOURCED = "\U000f0001"
BRANCH = "\U000f0002"
LOOP = "\U000f0003"
PARAMETER = "\U000f0004"
GLOB = "\U000f0005"
ENVIRONMENT = "\U000f0006"
TEMPLATE = "\U000f0007"
FETCHED = "\U000f0008"
CHANGED = "\U000f0009"
DIALECT = "\U000f000a"
INPUT = "\U000f000b"
PROGRAM = "\U000f000c"
ENVIRONMENT_IN_DOCUMENT = "\U000f000d"
LONG = "\U000f000f"
UNSPLIT = "\U000f000e"  # follows another one that is unquoted: it can expand to any number of words
# The reasons as the findings show them.
WHY = {
    OUTPUT: "it is the output of a command",
    SOURCED: "a sourced file or eval may set it",
    BRANCH: "it depends on a condition",
    LOOP: "a loop produces it",
    PARAMETER: "the check does not evaluate its expansion",
    GLOB: "it is a file name pattern",
    ENVIRONMENT: "it is an environment variable",
    TEMPLATE: "the template inserts it",
    FETCHED: "its source is outside of the user-data",
    CHANGED: "a program changes it",
    DIALECT: "shells differ in it",
    INPUT: "it is read from standard input",
    PROGRAM: "a program writes it",
    ENVIRONMENT_IN_DOCUMENT: "it is an environment variable",
    LONG: "it is longer than the check follows",
}
_UNKNOWN = re.compile("[\U000f0000-\U000f0fff]")
_UNSET = re.compile("\U000f1000([^\U000f1001]*)\U000f1001")


def unset(name: str) -> str:
    """The mark of an empty expansion: that of a variable that is not set."""
    return f"\U000f1000{name}\U000f1001"


def joined(texts: Sequence[str], between: str = "") -> str:
    """Join texts; LONG if the result is too long: a text that a script keeps doubling fills the memory."""
    length = sum(map(len, texts)) + len(between) * len(texts)
    return between.join(texts) if length <= MOST else LONG


def plain(text: str) -> str:
    """The text without the marks of variables that are not set."""
    return _UNSET.sub("", text)


def unset_in(text: str) -> list[str]:
    """The names of the variables in a text that are not set."""
    return list(dict.fromkeys(_UNSET.findall(text)))


def is_known(text: str) -> bool:
    """Whether the whole text is known."""
    return not _UNKNOWN.search(text)


def known_part(text: str) -> str:
    """The text without its unknown parts."""
    return _UNKNOWN.sub("", plain(text))


def why(text: str) -> str:
    """The reasons why a text is not known, for a message."""
    return ", ".join(dict.fromkeys(WHY[sign] for sign in _UNKNOWN.findall(text) if sign in WHY))


def first_in(text: str) -> str:
    """The first unknown character; "" if all is known."""
    found = _UNKNOWN.search(text)
    return found[0] if found else ""


def could_be(text: str, path: str) -> bool:
    """Whether a text that is known in part can be this path; False if nothing of it is known."""
    known = _UNKNOWN.split(plain(text))
    return any(known) and bool(re.fullmatch(".*".join(re.escape(part) for part in known), path))
