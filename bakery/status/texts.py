"""Text and numbers for people: harmless strings, short durations, lists. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 300  # characters of a string of an ad
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_NAMED = 4  # workers in a sentence


def printable(text: str, longest: int = _LONGEST) -> str:
    """Return a string of an ad as one line that a terminal shows as it is.

    Control characters, line ends and characters that change the direction of the text are escaped.
    """
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(one if one.isprintable() else _escape(one) for one in cut)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit of which there are at least two: 45 s, 90 min, 3 h, 5 d."""
    for length, unit in _UNITS:
        count = int(seconds // length)
        if count >= 2 or length == 1:
            return f"{count} {unit}"
    raise AssertionError("the last unit is a second")


def gibibytes(mebibytes: int) -> str:
    """Return GiB with one decimal; from 10 GiB on without."""
    found = mebibytes / 1024
    return f"{found:.1f}" if 0 < found < 9.95 else f"{found:.0f}"


def shortened(text: str, longest: int) -> str:
    """Leave out the middle of a longer text: names of workers often differ at their end."""
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def named(names: Sequence[str]) -> str:
    """Return names as `a, b and c`; of many, the first ones and a number."""
    shown = [printable(name, 60) for name in names]
    if len(shown) > _NAMED:
        return f"{', '.join(shown[: _NAMED - 1])} and {len(shown) - _NAMED + 1} others"
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)
