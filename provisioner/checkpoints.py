"""After which roles the disk is kept as it is then: the policy of both engines."""

from __future__ import annotations

from typing import Literal, get_args

Policy = Literal["auto", "all", "none"]  # after which roles; auto: where one pays
POLICIES: tuple[Policy, ...] = get_args(Policy)
_MINIMUM = 6.0  # seconds


def is_worth_keeping(policy: Policy, steps: float, writing: float) -> bool:
    """Whether a checkpoint pays. Seconds: the steps since the last one took, writing one takes.

    Each bake pays for the writing, and only one after a change has the steps for nothing. What takes
    a few seconds is not worth most of a GiB.
    """
    return policy == "all" or (policy == "auto" and steps > max(_MINIMUM, 3 * writing))
