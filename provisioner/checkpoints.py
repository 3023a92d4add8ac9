"""After which roles the disk is kept as it is then: the policy of both engines."""

from __future__ import annotations

from typing import Literal, get_args

Wanted = Literal["auto", "all", "none"]  # after which roles; auto: where one pays
WANTED: tuple[Wanted, ...] = get_args(Wanted)
_LEAST = 6.0  # seconds


def is_worth_keeping(wanted: Wanted, steps: float, writing: float) -> bool:
    """Whether a checkpoint pays. Seconds: the steps since the last one took, writing one takes.

    Each bake pays for the writing, and only one after a change has the steps for nothing. What takes
    a few seconds is not worth most of a GiB.
    """
    return wanted == "all" or (wanted == "auto" and steps > max(_LEAST, 3 * writing))
