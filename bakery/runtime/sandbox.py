"""Run one of our modules in a sandbox: in its own namespaces, reporting events on its stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from provisioner import errors
from provisioner.errors import BakeryError
from provisioner.events import Event, Monitor
from provisioner.process import run

# Characters of an event: a line of output has up to 64 KiB, and JSON may escape each by six characters.
MAX_EVENT_LENGTH = 1 << 20


def run_module(
    command: Sequence[str], stdin: bytes, monitor: Monitor, *, private_network: bool = False
) -> dict[str, Any]:
    """Run a module in a sandbox, pass on its events and return its event "result" ({} if there is none).

    Raises the error that the module reports, with its exit code.
    """
    final: dict[str, Event] = {}

    def on_line(text: str) -> None:
        event = parse_event(text)
        if event["event"] in ("result", "error"):
            final[event["event"]] = event
        else:
            monitor.emit(event)

    sandbox = run.sandbox_argv(command, private_network=private_network)
    try:
        env = run.environment(PYTHONUNBUFFERED="1")
        run.stream(sandbox, on_line, stdin=stdin, env=env, longest=MAX_EVENT_LENGTH)
    except BakeryError:
        if "error" in final:
            raise errors.from_event(final["error"]) from None
        raise
    result: dict[str, Any] = final.get("result", {})
    return result


def parse_event(text: str) -> Event:
    """Parse an event; other lines (a traceback, a library's warning) become events of output."""
    try:
        event: Event = json.loads(text)
    except ValueError:
        event = {"event": "line", "text": text}
    return event if isinstance(event, dict) and "event" in event else {"event": "line", "text": text}
