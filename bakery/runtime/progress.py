"""Print events to stderr: as plain lines, or as a live display on a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provisioner.events import Event, JsonLines, Monitor

if TYPE_CHECKING:
    from rich.progress import TaskID


@contextmanager
def reporting(*, json: bool, verbose: bool, quiet: bool) -> Iterator[Monitor]:
    """Yield the monitor that fits the options, and restore the terminal afterwards."""
    monitor = choose(json=json, verbose=verbose, quiet=quiet)
    try:
        yield monitor
    finally:
        if isinstance(monitor, Terminal):
            monitor.close()


def choose(*, json: bool, verbose: bool, quiet: bool) -> Monitor:
    """Return the monitor that fits the options and stderr."""
    if json:
        return JsonLines(sys.stderr)
    if not quiet and not verbose and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return Terminal()
    return Lines(verbose=verbose, quiet=quiet)


_PROGRESS_EVERY = 15  # seconds between two lines of progress in a log


def progress_text(event: Event) -> str:
    """Describe a progress event; its `done` and `total` are bytes, `total` is None if unknown."""
    done, total = event["done"] / 2**20, event["total"]
    if total is None:
        return f"{event['name']}: {done:.0f} MiB"
    share = 100 * event["done"] // total if total else 100
    return f"{event['name']}: {done:.0f} of {total / 2**20:.0f} MiB, {share} %"


def labelled(event: Event, text: str) -> str:
    """The text after the label of its image; several images have labels."""
    return f"{event['label']}: {text}" if "label" in event else text


def finished_text(event: Event) -> str:
    """Describe the end of one of several images, or of a checkpoint that they share."""
    took = f"{event['seconds']:.1f} s"
    return f"failed after {took}: {event['error'].splitlines()[0]}" if event["error"] else f"done ({took})"


class Lines:
    """Print one line for each event, with the seconds since the start; for logs and pipes."""

    def __init__(self, *, verbose: bool = False, quiet: bool = False) -> None:
        self._verbose = verbose
        self._quiet = quiet
        self._start_time = time.monotonic()
        self._last_progress = self._start_time

    def emit(self, event: Event) -> None:
        text = self._text(event)
        if text is not None:
            elapsed = time.monotonic() - self._start_time
            print(f"[{elapsed:6.1f}s] {labelled(event, text)}", file=sys.stderr, flush=True)

    def _text(self, event: Event) -> str | None:
        match event["event"]:
            case "warning":
                return f"warning: {event['text']}"
            case "finished" if event["error"]:
                return finished_text(event)
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
            case "progress" if time.monotonic() - self._last_progress > _PROGRESS_EVERY:
                self._last_progress = time.monotonic()
                return f"  {progress_text(event)}"
            case "finished":
                return finished_text(event)
        return None


class Terminal:
    """Print finished phases as lines; show the current phase, its run time and its last output below.

    Several images have one such display each, named by their labels.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True, highlight=False)  # rich honours NO_COLOR
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[last]}"),
        )
        self._live = Progress(*columns, console=console, transient=True, auto_refresh=True)
        self._phases: dict[str, list[TaskID]] = {}  # by label, the innermost last

    def emit(self, event: Event) -> None:
        phases = self._phases.setdefault(event.get("label", ""), [])
        match event["event"]:
            case "begin":
                self._live.start()
                name = labelled(event, event["name"])
                phases.append(self._live.add_task(name, total=None, last=""))
            case "end":
                self._remove(phases, 1)
                name = _escape(labelled(event, event["name"]))
                self._print(f"[green]✓[/] {name} [dim]{event['seconds']:.1f} s[/]")
            case "line" if phases:
                self._live.update(phases[-1], last=_escape(event["text"].strip()[:60]))
            case "progress" if phases:
                self._live.update(phases[-1], last=_escape(progress_text(event)))
            case "note":
                self._print(f"  {_escape(labelled(event, event['text']))}")
            case "warning":
                self._print(f"[yellow]![/] {_escape(labelled(event, event['text']))}")
            case "finished":
                self._remove(phases, len(phases))  # phases that failed have not ended
                mark = "[red]✗[/]" if event["error"] else "[green]✓[/]"
                self._print(f"{mark} {_escape(labelled(event, finished_text(event)))}")

    def _remove(self, phases: list[TaskID], count: int) -> None:
        """Remove the innermost phases of an image; stop the display when nothing is left to show."""
        for _ in range(count):
            self._live.remove_task(phases.pop())
        if not any(self._phases.values()):
            self._live.stop()

    def close(self) -> None:
        """Stop the live display and restore the terminal, also after a failed phase."""
        self._live.stop()

    def _print(self, text: str) -> None:
        self._live.console.print(text)


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
