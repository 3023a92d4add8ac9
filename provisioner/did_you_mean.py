"""A word that nobody knows, and what it may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MINIMUM_PREFIX = 3  # letters of a beginning
_MAXIMUM_OFFERED = 3  # words to offer


def similar(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """The known words that this one is like, the likeliest first; none, if it is like none.

    The same but for capitals, `_` and `-`, and dashes before it; else those that begin with it, or the
    one that is spelled most alike.
    """
    by_plain = {_plain(name): name for name in known}
    plain = _plain(word)
    if plain in by_plain:
        return (by_plain[plain],)
    if len(plain) >= _MINIMUM_PREFIX:
        begins = [name for key, name in sorted(by_plain.items()) if key.startswith(plain)]
        if begins:
            return tuple(begins[:_MAXIMUM_OFFERED])
    from difflib import get_close_matches  # slow to import, and for mistakes only

    return tuple(by_plain[key] for key in get_close_matches(plain, by_plain, n=1, cutoff=0.65))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question for a message's hint; "" if the word is like none. Nothing of the word itself is in it."""
    return question(similar(word, known))


def question(names: Sequence[str]) -> str:
    if not names:
        return ""
    *others, last = names
    return f"Did you mean {', '.join(others)} or {last}?" if others else f"Did you mean {last}?"


def hint(words: Iterable[str], known: Iterable[str], otherwise: str) -> str:
    """What each of these words may have meant, and then all that there is, or how to see it."""
    names = tuple(known)
    asked = [question for word in words if (question := did_you_mean(word, names))]
    return " ".join((*asked, otherwise))


def _plain(word: str) -> str:
    return word.casefold().replace("_", "-").lstrip("-")
