"""Targets execute actions: chroot, ssh and, for tests, recorder. A target has two methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

OnLine = Callable[[str], None]


class Target(Protocol):
    """A machine, or the root directory of one, to apply a plan to."""

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        """Run a program as root, calling `on_line` with each line of output. Raises CommandFailed."""

    def put(self, path: str, data: bytes, mode: int) -> None:
        """Write a file owned by root with this mode, creating its parent folders."""
