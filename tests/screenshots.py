"""Make the pictures of `status --watch` and `status plot` in docs/assets:  scripts/screenshots [FOLDER]

A throw-away pool of the default image's HTCondor gets the ads of workers that join, run jobs and leave.
The command runs on a pseudo-terminal, and records. What the terminal shows becomes an SVG, and the record a
plot. Root; two minutes. The times in the pictures are those of the run.
"""

from __future__ import annotations

import io
import itertools
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

from bakery.machines.network import GATEWAY, Network, isolated
from bakery.runtime import conditions
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.process import run
from tests import conftest, terminals
from tests.conftest import BIN, command
from tests.integration.pool.test_status_command import Value, advertise, claimed, slot
from tests.terminals import Terminal

ASSETS = Path(__file__).parent.parent / "docs" / "assets"
GROUP = "My workers"
SIZE = (100, 18)  # columns and lines
_STARTED = int(time.time()) - 300  # when all workers started
_RETIRES = _STARTED + 20 * 3600
_QUERIES = 8  # that each step lasts, one in a second
Ad = dict[str, Value]
# Names of colours of pyte that rich spells differently.
_COLOURS: Mapping[str, str] = {"default": "default", "brown": "yellow", "brightbrown": "bright_yellow"}


def main(folder: Path) -> None:
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="screenshots-")))
        pool, network = stack.enter_context(_pool(work))
        record = work / "workers.jsonl"
        argv = [str(BIN / "worker-bakery"), "status", "--pool", GATEWAY, "--group", GROUP]
        argv += ["--watch", "1", "--record", str(record)]
        terminal = stack.enter_context(terminals.started(argv, SIZE, prefix=network.argv([])))
        _play(pool, network, terminal, record, folder / "status-watch.svg")
        plot = folder / "status-plot.svg"
        done = command("worker-bakery", "status", "plot", str(record), "-o", str(plot))
        assert done.status == 0, done.err
        plot.chmod(0o644)


@contextmanager
def _pool(work: Path) -> Iterator[tuple[Pool, Network]]:
    conftest.own_mounts()
    folders = [work / name for name in ("image", "network", "pool")]
    for folder in folders:
        folder.mkdir()
    image, of_network, of_pool = folders
    with (
        conftest.mounted(Path(conftest.bake("osg")["path"]), image) as root,
        isolated(of_network) as network,
        throwaway_pool.start_in_sandbox(root, of_pool, network) as pool,
    ):
        yield pool, network


# --- the session -------------------------------------------------------------------------------


def _play(pool: Pool, network: Network, terminal: Terminal, record: Path, picture: Path) -> None:
    """Show the life of a group; take the picture when several things have happened."""
    names = itertools.count(1)

    def step(ads: Sequence[Ad], *words: str) -> None:
        advertise(pool, network, f"step{next(names)}", list(ads))
        terminal.await_text(*words)
        _await_queries(terminal, record, _QUERIES)

    terminal.await_text("No worker has joined.")
    _await_queries(terminal, record, _QUERIES)
    step([*_worker("node-1"), *_worker("node-2")], "2 workers (2 idle)")
    step([*_worker("node-1", 101, 102), *_worker("node-3"), *_worker("node-4")], "4 workers (1 busy")
    step([*_worker("node-2", 103, 104), *_worker("node-3", 105), *_worker("node-5")], "5 workers (3 busy")
    _without_network(network, terminal, record)
    step([*_worker("node-3", 105, 106, 107), *_gone("node-4")], "node-4 left")
    sick = _worker(
        "node-5", NODE_IS_HEALTHY=False, NODE_STATUS="execute file system: full, 12 MiB are left"
    )
    step([*sick, *_worker("node-6", 108, user="bob")], "node-6 joined: busy", "WARNING")
    picture.write_text(svg(terminal), encoding="utf-8")
    step([*_gone("node-5"), *_gone("node-1", 101, 102)], "3 workers")
    step([*_gone("node-2", 103, 104), *_gone("node-3", 105, 106, 107)], "1 worker ")
    terminal.type(b"\x03")
    assert terminal.end() == 128 + signal.SIGINT


def _await_queries(terminal: Terminal, record: Path, more: int) -> None:
    def count() -> int:
        terminal.text()  # a full terminal would block the command
        return record.read_bytes().count(b"\n")

    wanted = count() + more
    conditions.wait_until("there were more queries", count, lambda found: found >= wanted, 300)


def _without_network(network: Network, terminal: Terminal, record: Path) -> None:
    """A gap of the record."""
    run.call(network.argv(["ip", "link", "set", "lo", "down"]))
    terminal.await_text("No answer")
    run.call(network.argv(["ip", "link", "set", "lo", "up"]))
    terminal.await_text("5 workers (3 busy", seconds=300)
    _await_queries(terminal, record, _QUERIES)


def _worker(name: str, *jobs: int, user: str = "alice", **more: Value) -> list[Ad]:
    """The ads of a worker with 4 CPUs that runs these jobs on a CPU each."""
    times: Ad = {"DaemonStartTime": _STARTED, "EnteredCurrentActivity": _STARTED, "WorkerRetires": _RETIRES}
    its: Ad = {"WorkerGroupName": GROUP, **times, **more}
    owner = f"{user}@example.edu"
    dynamic = [claimed(name, job, RemoteOwner=owner, **its) for job in jobs]
    left = {"Cpus": 4 - len(jobs), "Memory": 8192 - 1024 * len(jobs)}
    return [{**slot(name), **its, **left}, *dynamic]


def _gone(name: str, *jobs: int) -> list[Ad]:
    """The same ads in another group."""
    return [{**ad, "WorkerGroupName": "Gone"} for ad in _worker(name, *jobs)]


# --- the picture -------------------------------------------------------------------------------


def svg(terminal: Terminal) -> str:
    """Return what a terminal shows, as SVG."""
    console = Console(record=True, width=SIZE[0], file=io.StringIO(), legacy_windows=False)
    for row in range(SIZE[1]):
        console.print(_line(terminal.screen.buffer[row]), no_wrap=True, crop=False)
    # Without the fonts of another host: the picture is shown with any monospaced font.
    template = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code, monospace", "monospace")
    return console.export_svg(
        title="worker-bakery status --watch", code_format=template, unique_id="status-watch"
    )


def _line(cells: Any) -> Text:
    """A row of pyte's screen."""
    line = Text()
    for column in range(SIZE[0]):
        cell = cells[column]
        fore, back = _colour(cell.fg), _colour(cell.bg)
        line.append(cell.data, Style(color=fore, bgcolor=back, bold=cell.bold, reverse=cell.reverse))
    return line


def _colour(name: str) -> str:
    """The name of a colour of pyte in the words of rich."""
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return _COLOURS.get(name, re.sub("^bright", "bright_", name))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS)
