"""Split a stream of bytes into lines, with secrets removed and bounded memory."""

from __future__ import annotations

from collections.abc import Callable

from provisioner.process.scrub import scrub

LONGEST = 64 * 1024  # characters; longer lines are truncated
# Buffered beyond that, so that a secret at the end of a truncated line is complete and recognized.
_MORE = 16 * 1024  # bytes


class LineSplitter:
    """Calls `on_line` with each line, decoded and without its end; at most `longest` characters."""

    def __init__(self, on_line: Callable[[str], None], longest: int = LONGEST) -> None:
        self._on_line = on_line
        self._longest = longest
        self._line = bytearray()

    def feed(self, data: bytes) -> None:
        """Process the next bytes of the stream."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._hold(part)
            self._hand_over()
        self._hold(rest)

    def close(self) -> None:
        """End the stream; the last line may have no newline."""
        if self._line:
            self._hand_over()

    def _hold(self, part: bytes) -> None:
        self._line += part[: self._longest + _MORE - len(self._line)]

    def _hand_over(self) -> None:
        text = scrub(self._line.decode("utf-8", "replace")).rstrip("\r")
        self._line.clear()
        self._on_line(text if len(text) <= self._longest else f"{text[: self._longest]} …")
