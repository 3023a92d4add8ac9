"""When a container counts as healthy."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from worker_runtime.status import health_check
from worker_runtime.status.health_check import STALE, START
from worker_runtime.system import paths

STATE = {"state": "idle", "why": "no slot is claimed", "at": 1_000_000, "answered": 1_000_000}
STARTS = {**STATE, "state": "starting", "why": "HTCondor does not answer"}


@pytest.mark.parametrize(
    ("state", "healthy"),
    [
        (STATE, True),
        ({**STATE, "state": "silent"}, False),
        ({**STATE, "state": "stopped"}, False),
        ({**STATE, "looked": -STALE - 1}, False),
        ({}, False),
        (STARTS, True),
        ({**STARTS, "answered": None}, True),
        ({**STARTS, "answered": 1_000_000 - START}, True),
        # With WatchdogTimeout 0, the worker waits for ever.
        ({**STARTS, "answered": 1_000_000 - START - 1}, False),
    ],
)
def test_a_container_is_healthy_while_htcondor_answers_or_may_still_start(
    state: dict[str, Any], healthy: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`looked`: seconds from now."""
    path = tmp_path / "status.json"
    if state:
        path.write_text(json.dumps({**state, "looked": time.monotonic() + state.get("looked", 0)}))
    monkeypatch.setattr(paths, "STATUS", str(path))
    assert health_check.main() == (0 if healthy else 1)
