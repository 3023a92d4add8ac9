"""Bytes in pieces become lines: scrubbed, handed over as they end, and never more than a bit of memory."""

from __future__ import annotations

from collections.abc import Callable

from provisioner.process.scrub import scrub

LONGEST = 64 * 1024  # characters of a line that are passed on, unless more are asked for
# A secret that begins within what is passed on is held whole, so that it is known for what it is.
_MORE = 16 * 1024  # bytes


class LineSplitter:
    def __init__(self, on_line: Callable[[str], None], longest: int = LONGEST) -> None:
        self._on_line = on_line
        self._longest = longest
        self._line = bytearray()

    def feed(self, data: bytes) -> None:
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._hold(part)
            self._hand_over()
        self._hold(rest)

    def close(self) -> None:
        """The last line may have no end."""
        if self._line:
            self._hand_over()

    def _hold(self, part: bytes) -> None:
        self._line += part[: self._longest + _MORE - len(self._line)]

    def _hand_over(self) -> None:
        text = scrub(self._line.decode("utf-8", "replace")).rstrip("\r")
        self._line.clear()
        self._on_line(text if len(text) <= self._longest else f"{text[: self._longest]} …")
