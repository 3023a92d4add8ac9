"""A sandbox: namespaces in which one of our own modules works, speaking events on its stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from provisioner import errors
from provisioner.errors import BakeryError
from provisioner.events import Event, Monitor
from provisioner.process import run

# Characters of an event: a line of output can be 64 KiB of what JSON escapes by six characters each.
_LONGEST = 1 << 20


def relay(
    command: Sequence[str], stdin: bytes, monitor: Monitor, *, private_network: bool = False
) -> dict[str, Any]:
    """Run a module in a sandbox, pass on its events and return its result, an event {"event": "result"}.

    Raises the error that the module reported, with its exit code.
    """
    told: dict[str, Event] = {}

    def on_line(text: str) -> None:
        event = _event(text)
        if event["event"] in ("result", "error"):
            told[event["event"]] = event
        else:
            monitor.emit(event)

    sandbox = run.sandbox_argv(command, private_network=private_network)
    try:
        env = run.environment(PYTHONUNBUFFERED="1")
        run.stream(sandbox, on_line, stdin=stdin, env=env, longest=_LONGEST)
    except BakeryError:
        if "error" in told:
            raise errors.from_event(told["error"]) from None
        raise
    result: dict[str, Any] = told.get("result", {})
    return result


def _event(text: str) -> Event:
    """A line that is no event (a traceback, a library's warning) is passed on as output."""
    try:
        event: Event = json.loads(text)
    except ValueError:
        event = {"event": "line", "text": text}
    return event if isinstance(event, dict) and "event" in event else {"event": "line", "text": text}
