"""What cannot be known before the boot, as characters within a text.

So a text that is known in part is still a text: it can be put together, split and written to a file. Each
kind of the unknown is one character of a private plane of Unicode, which no user-data has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST = 1024 * 1024  # characters of a text that is followed
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
UNSPLIT = "\U000f000e"  # beside another: it may be no word at all, or several
# What cloud-init or the shell does is certain there, but it depends on more than is looked into.
WHY = {
    OUTPUT: "the output of a command",
    SOURCED: "what another file or eval may have set",
    BRANCH: "set differently under a condition",
    LOOP: "made by a loop",
    PARAMETER: "an expansion that only a shell works out",
    GLOB: "a pattern of file names",
    ENVIRONMENT: "a variable of the environment",
    TEMPLATE: "filled in by the template",
    FETCHED: "fetched from elsewhere",
    CHANGED: "changed by a program",
    DIALECT: "written differently by different shells",
    INPUT: "read from the input",
    PROGRAM: "written by a program's own logic",
    ENVIRONMENT_IN_DOCUMENT: "a variable of the environment",
    LONG: "longer than is followed",
}
_UNKNOWN = re.compile("[\U000f0000-\U000f0fff]")
_UNSET = re.compile("\U000f1000([^\U000f1001]*)\U000f1001")


def unset(name: str) -> str:
    """Nothing, in the place of a variable that nothing sets."""
    return f"\U000f1000{name}\U000f1001"


def joined(texts: Sequence[str], between: str = "") -> str:
    """All of them, unless that is longer than is followed: a text that is doubled soon fills the memory."""
    length = sum(map(len, texts)) + len(between) * len(texts)
    return between.join(texts) if length <= MOST else LONG


def plain(text: str) -> str:
    """With nothing where nothing is."""
    return _UNSET.sub("", text)


def unset_in(text: str) -> list[str]:
    """The names of the variables that nothing sets."""
    return list(dict.fromkeys(_UNSET.findall(text)))


def is_known(text: str) -> bool:
    return not _UNKNOWN.search(text)


def known_part(text: str) -> str:
    return _UNKNOWN.sub("", plain(text))


def why(text: str) -> str:
    """Why it is not known, in words."""
    return ", ".join(dict.fromkeys(WHY[sign] for sign in _UNKNOWN.findall(text) if sign in WHY))


def first_in(text: str) -> str:
    """The first unknown of it; "" if all is known."""
    found = _UNKNOWN.search(text)
    return found[0] if found else ""


def could_be(text: str, path: str) -> bool:
    """Could a text that is known in part be this path? Of one that is not known at all, nobody can say."""
    known = _UNKNOWN.split(plain(text))
    return any(known) and bool(re.fullmatch(".*".join(re.escape(part) for part in known), path))
