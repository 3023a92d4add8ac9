"""Monitors for people: plain lines, or one live line on a terminal. Everything goes to stderr."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from provisioner.monitor import Event, JsonLines, Monitor

if TYPE_CHECKING:
    from rich.status import Status


def choose(*, json: bool, verbose: bool, quiet: bool) -> Monitor:
    if json:
        return JsonLines(sys.stderr)
    if not quiet and not verbose and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Terminal()
    return Lines(verbose=verbose, quiet=quiet)


class Lines:
    """One line an event, with the time since the start; for logs and pipes."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self._verbose = verbose
        self._quiet = quiet
        self._started = time.monotonic()

    def tell(self, event: Event) -> None:
        text = self._text(event)
        if text is not None:
            elapsed = time.monotonic() - self._started
            print(f"[{elapsed:6.1f}s] {text}", file=sys.stderr, flush=True)

    def _text(self, event: Event) -> str | None:
        match event["event"]:
            case "warning":
                return f"warning: {event['text']}"
            case _ if self._quiet:
                return None
            case "begin":
                return f"{event['name']} …" if self._verbose else None
            case "end":
                return f"{event['name']} ({event['seconds']:.1f} s)"
            case "note":
                return str(event["text"])
            case "line" if self._verbose:
                return f"  {event['text']}"
        return None


class Terminal:
    """Finished phases stay as lines; the current one is a live line with its last output."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)  # rich honours NO_COLOR
        self._live: list[tuple[str, float]] = []
        self._status: Status | None = None

    def tell(self, event: Event) -> None:
        match event["event"]:
            case "begin":
                self._live.append((event["name"], time.monotonic()))
                self._show("")
            case "end":
                self._live.pop()
                self._print(f"[green]✓[/] {_escape(event['name'])} [dim]{event['seconds']:.1f} s[/]")
                self._show("")
            case "line":
                self._show(event["text"])
            case "note":
                self._print(f"  {_escape(event['text'])}")
            case "warning":
                self._print(f"[yellow]![/] {_escape(event['text'])}")

    def _print(self, text: str) -> None:
        self._console.print(text)

    def _show(self, last: str) -> None:
        if not self._live:
            if self._status:
                self._status.stop()
                self._status = None
            return
        name, started = self._live[-1]
        width = max(20, self._console.width - len(name) - 16)
        text = f"{_escape(name)} [dim]{time.monotonic() - started:.0f} s {_escape(last[:width])}[/]"
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
