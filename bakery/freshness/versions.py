"""Compare the versions of packages: pure functions, tested against dpkg and rpm.

Sources: deb-version(7), "Sorting algorithm"; rpm's manual rpm-version(7) and rpmvercmp().
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any

_DEB_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_RPM_PARTS = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")


def _sign(a: Any, b: Any) -> int:
    return int(a > b) - int(a < b)


# --- dpkg --------------------------------------------------------------------------------------


def deb(a: str, b: str) -> int:
    """Return -1, 0 or 1: whether version `a` is lower than, equal to or higher than `b`."""
    left, right = _deb_split(a), _deb_split(b)
    if left[0] != right[0]:
        return _sign(left[0], right[0])
    return _deb_part(left[1], right[1]) or _deb_part(left[2], right[2])


def _deb_split(version: str) -> tuple[int, str, str]:
    """Return epoch, upstream version and revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch) if epoch.isdigit() else 0, upstream, revision


def _deb_part(a: str, b: str) -> int:
    pairs = zip_longest(_DEB_PARTS.findall(a), _DEB_PARTS.findall(b), fillvalue=("", ""))
    for (text, number), (other_text, other_number) in pairs:
        if found := _sign(_deb_order(text), _deb_order(other_text)):
            return found
        if found := _sign(int(number or 0), int(other_number or 0)):
            return found
    return 0


def _deb_order(text: str) -> list[int]:
    """Sort keys of the characters: tilde, end, letters, others."""
    return [*(_deb_weight(character) for character in text), 0]


def _deb_weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


# --- rpm ---------------------------------------------------------------------------------------


def rpm(a: str, b: str) -> int:
    """The same for [EPOCH:]VERSION-RELEASE."""
    left, right = _rpm_split(a), _rpm_split(b)
    if left[0] != right[0]:
        return _sign(left[0], right[0])
    return _rpm_part(left[1], right[1]) or _rpm_part(left[2], right[2])


def _rpm_split(evr: str) -> tuple[int, str, str]:
    epoch, colon, rest = evr.partition(":")
    if not colon:
        epoch, rest = "0", evr
    version, _, release = rest.partition("-")
    return int(epoch) if epoch.isdigit() else 0, version, release


def _rpm_part(a: str, b: str) -> int:
    """rpmvercmp: segments of digits or letters; other characters only separate."""
    if a == b:
        return 0
    left, right = _RPM_PARTS.findall(a), _RPM_PARTS.findall(b)
    for mine, other in zip_longest(left, right):
        if found := _rpm_segment(mine, other):
            return found
    return 0


def _rpm_segment(a: str | None, b: str | None) -> int:
    if a == b:
        return 0
    if "~" in (a, b):  # lower than anything, also than the end
        return -1 if a == "~" else 1
    if a is None or b is None:  # the longer one is higher, also with a caret
        return 1 if b is None else -1
    if "^" in (a, b):  # higher than the end, lower than anything else
        return -1 if a == "^" else 1
    if a.isdigit() and b.isdigit():
        return _sign(int(a), int(b))
    if a.isdigit() != b.isdigit():  # numbers are higher than letters
        return 1 if a.isdigit() else -1
    return _sign(a, b)


Compare = Callable[[str, str], int]
COMPARE: dict[str, Compare] = {"apt": deb, "rpm": rpm}


def highest(versions: list[str], compare: Compare) -> str:
    """Return the highest of at least one version."""
    return max(versions, key=cmp_to_key(compare))
