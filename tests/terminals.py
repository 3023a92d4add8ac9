"""A program on a pseudo-terminal, and what it shows there, by pyte's emulation of a terminal."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyte

from bakery.runtime import conditions

_READ_SECONDS = 0.05


class Screen(pyte.Screen):
    """With an alternate screen, which pyte does not have."""

    main: Any = None  # while the alternate screen is shown: what the main screen has, and its cursor

    def set_mode(self, *modes: int, **keys: Any) -> None:
        super().set_mode(*modes, **keys)
        if 1049 in modes and keys.get("private") and self.main is None:
            self.main = {row: dict(line) for row, line in self.buffer.items()}, self.cursor.x, self.cursor.y
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **keys: Any) -> None:
        super().reset_mode(*modes, **keys)
        if 1049 in modes and keys.get("private") and self.main is not None:
            lines, x, y = self.main
            self.main = None
            self.erase_in_display(2)
            for row, line in lines.items():
                self.buffer[row].update(line)
            self.cursor_position(y + 1, x + 1)


class Terminal:
    """The terminal's side of a program: `size` is columns and lines."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, size: tuple[int, int]) -> None:
        self.process = process
        self.screen = Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self._master = master

    def text(self) -> str:
        """Read what the program has written until now, and return what the terminal shows."""
        while select.select([self._master], [], [], _READ_SECONDS)[0]:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:  # the program has ended
                break
            if not data:
                break
            self._stream.feed(data)
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    @property
    def is_alternate(self) -> bool:
        return self.screen.main is not None

    def await_text(self, *words: str, seconds: float = 120) -> str:
        """Wait until the terminal shows all of these words. Raises NotProven."""
        return conditions.wait_until(
            f"the terminal shows {words}",
            self.text,
            lambda text: all(one in text for one in words),
            seconds,
        )

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def close(self) -> None:
        """Close the terminal, if it is open; the kernel sends SIGHUP."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size, as a window manager does; the kernel sends SIGWINCH."""
        _set_size(self._master, (columns, lines))
        self.screen.resize(lines, columns)

    def end(self, seconds: float = 60) -> int:
        """Wait until the program has ended, and return its exit code."""
        conditions.wait_until("the program has ended", self._poll, lambda code: code is not None, seconds)
        self.text()
        return self.process.returncode

    def _poll(self) -> int | None:
        self.text()  # a full terminal would block the program
        return self.process.poll()


def _set_size(descriptor: int, size: tuple[int, int]) -> None:
    columns, lines = size
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


@contextmanager
def started(
    argv: Sequence[str],
    size: tuple[int, int],
    *,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """Run a program on a new terminal, which is its controlling terminal, while the block runs."""
    master, slave = os.openpty()
    _set_size(slave, size)
    process = subprocess.Popen(
        # All signals: nohup(1) before the tests ignores SIGHUP, a shell's & ignores SIGINT.
        [*prefix, "setsid", "--ctty", "env", "--default-signal", *argv],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm-256color", **(env or {})},
    )
    os.close(slave)
    terminal = Terminal(process, master, size)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        terminal.close()
