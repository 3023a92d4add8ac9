"""Where actions go. A target is two methods: chroot, ssh, recorder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

OnLine = Callable[[str], None]


class Target(Protocol):
    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        """Run as root, handing over output lines. Raises CommandFailed."""

    def put(self, path: str, data: bytes, mode: int) -> None:
        """Write a file of root's with this mode, making its folders."""
