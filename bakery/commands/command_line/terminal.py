"""The terminal that a command writes to."""

from __future__ import annotations

import os

STDOUT, STDERR = 1, 2


def width(descriptor: int) -> int:
    """The columns of the terminal behind a file descriptor; 0 if there is none."""
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return 0
