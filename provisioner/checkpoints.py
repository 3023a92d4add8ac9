"""The checkpoint policy of both engines: after which roles a checkpoint is written."""

from __future__ import annotations

from typing import Literal, get_args

Policy = Literal["auto", "all", "none"]  # auto: where it saves time
POLICIES: tuple[Policy, ...] = get_args(Policy)
_MINIMUM = 6.0  # seconds


def is_worth_keeping(policy: Policy, steps: float, writing: float, *, awaited: bool = False) -> bool:
    """Whether to write a checkpoint here. `awaited`: other bakes wait for it.

    `steps`: seconds spent on steps since the last checkpoint; `writing`: seconds to write one. Every bake
    spends the time to write, and only the next bake after a change saves the time of the steps. Steps of a
    few seconds are not worth most of a GiB.
    """
    return awaited or policy == "all" or (policy == "auto" and steps > max(_MINIMUM, 3 * writing))
