"""Suggest known names for a misspelled one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MINIMUM_PREFIX = 3  # letters
_MAXIMUM_OFFERED = 3  # names


def similar(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known names similar to `word`, the most likely first; empty if there is none.

    First the name that differs only in case, in `_` for `-` or in leading dashes; otherwise names that
    begin with `word`; otherwise the one with the closest spelling.
    """
    by_plain = {_plain(name): name for name in known}
    plain = _plain(word)
    if plain in by_plain:
        return (by_plain[plain],)
    if len(plain) >= _MINIMUM_PREFIX:
        begins = [name for key, name in sorted(by_plain.items()) if key.startswith(plain)]
        if begins:
            return tuple(begins[:_MAXIMUM_OFFERED])
    from difflib import get_close_matches  # slow to import, and needed for mistakes only

    return tuple(by_plain[key] for key in get_close_matches(plain, by_plain, n=1, cutoff=0.65))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question for a hint, "" if no name is similar. It does not contain `word`: that may be a secret."""
    return question(similar(word, known))


def question(names: Sequence[str]) -> str:
    """`Did you mean A, B or C?`; "" for no names."""
    if not names:
        return ""
    *others, last = names
    return f"Did you mean {', '.join(others)} or {last}?" if others else f"Did you mean {last}?"


def hint(words: Iterable[str], known: Iterable[str], otherwise: str) -> str:
    """A question for each word that has similar names, followed by the sentence `otherwise`."""
    names = tuple(known)
    asked = [question for word in words if (question := did_you_mean(word, names))]
    return " ".join((*asked, otherwise))


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-").lstrip("-")
