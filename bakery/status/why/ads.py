"""Ads as data, and expressions evaluated in two ads by HTCondor's own library. Pure.

As data, an ad maps names to strings, numbers and booleans; everything else is an expression,
`{"expression": text for people, "source": text for the library, "error": whether it is one by itself}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal

from bakery.userdata.matchmaking import language, matching
from bakery.userdata.matchmaking.suggestions import literal

if TYPE_CHECKING:
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

Data = Mapping[str, Any]
Outcome = Literal["true", "false", "undefined", "error"]
_PLAIN = (str, bool, int, float)


def encoded(classad: Any, ad: Any, spelled: Iterable[str] = ()) -> dict[str, Any]:
    """Return an ad of the library as data. `classad` is the module classad2.

    Names are spelled as in `spelled`: the library shares names between ads and expressions of a process, so
    that Start becomes START after an expression with START.
    """
    names = {name.casefold(): name for name in spelled}
    return {names.get(name.casefold(), name): _encoded(classad, ad, name) for name in ad}


def _encoded(classad: Any, ad: Any, name: str) -> Any:
    try:
        value = ad[name]
        if is_plain(value):
            return value
        tree = ad.lookup(name)
        # With =?=, where str() has `is`; but only str() can be parsed again whatever its strings hold.
        shown = classad.ClassAd({"x": tree}).printOld().strip().removeprefix("x = ")
        is_error = tree.eval(ad) is classad.Value.Error
        return {"expression": shown, "source": str(tree), "error": is_error}
    except UnicodeDecodeError:
        return "\ufffd"
    except classad.ClassAdException:
        return {"expression": "error", "source": "error", "error": True}


def is_plain(value: Any) -> bool:
    """Return whether it is a string, a number or a boolean: not Undefined or Error, which are integers."""
    return isinstance(value, _PLAIN) and not isinstance(value, Enum)


def is_number(value: Any) -> bool:
    """Return whether it is a finite number."""
    return is_plain(value) and not isinstance(value, str | bool) and math.isfinite(value)


def decoded(data: Data) -> classad2.ClassAd:
    """Return an ad of the library. What it cannot parse is left out."""
    classad = matching.library()
    made = classad.ClassAd()
    for name, value in data.items():
        put(made, name, value)
    return made


def put(ad: classad2.ClassAd, name: str, value: Any) -> None:
    """Set an attribute of an ad to a value as `encoded` returns it."""
    classad = matching.library()
    try:
        ad[name] = classad.ExprTree(value["source"]) if isinstance(value, Mapping) else value
    except (classad.ClassAdException, ValueError):
        return


def source(ad: classad2.ClassAd, name: str) -> str | None:
    """Return the text of an attribute that is an expression; None for plain values and missing ones."""
    classad = matching.library()
    try:
        value = ad.get(name)
    except UnicodeDecodeError:
        return None
    return str(ad.lookup(name)) if isinstance(value, classad.ExprTree) else None


def value(text: str, mine: classad2.ClassAd, target: classad2.ClassAd) -> Any:
    """Evaluate to a Python value, or to classad2.Value.Undefined or .Error."""
    classad = matching.library()
    try:
        return classad.ExprTree(text).eval(mine, target)
    except (classad.ClassAdException, UnicodeDecodeError):
        return classad.Value.Error


def outcome(text: str, mine: classad2.ClassAd, target: classad2.ClassAd) -> Outcome:
    """Evaluate as matchmaking does: only true, or a number other than 0, is a match."""
    classad = matching.library()
    found = value(text, mine, target)
    if found is classad.Value.Undefined:
        return "undefined"
    if not is_plain(found) or isinstance(found, str):
        return "error"
    return "true" if found else "false"


def number(text: str, mine: classad2.ClassAd, target: classad2.ClassAd) -> float | None:
    """Evaluate to a number; None if it has another type."""
    found = value(text, mine, target)
    return found if is_number(found) else None


def shown(text: str) -> str:
    """Return an expression as HTCondor's tools print it: with =?=, where str() has `is`."""
    classad = matching.library()
    try:
        printed: str = classad.ClassAd({"x": classad.ExprTree(text)}).printOld()
    except (classad.ClassAdException, UnicodeDecodeError):
        return text
    return printed.strip().removeprefix("x = ")


def shown_value(found: Any) -> str:
    """Return a value as a ClassAd literal; lists and records as the library prints them."""
    classad = matching.library()
    if found is classad.Value.Undefined:
        return "undefined"
    if found is classad.Value.Error:
        return "error"
    return literal(found) if is_plain(found) else " ".join(str(found).split())


def names_in(ads: Iterable[Data], start: Iterable[str]) -> dict[str, str]:
    """Return these names and all to which their expressions in the ads refer.

    They are spelled as in `start`, or else as in an expression; the keys are in lower case.
    """
    found: dict[str, str] = {}
    texts: dict[str, set[str]] = {}
    for ad in ads:
        for name, one in ad.items():
            if isinstance(one, Mapping):
                texts.setdefault(name.casefold(), set()).add(one["source"])
    new = list(start)
    while new:
        name = new.pop()
        if name.casefold() not in found:
            found[name.casefold()] = name
            used = sorted(texts.get(name.casefold(), ()))
            new = [one.name for text in used for one in language.references(text)] + new
    return found
