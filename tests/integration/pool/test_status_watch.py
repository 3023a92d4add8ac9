"""`worker-bakery status --watch`, `--record` and `plot` with a real collector, on a pseudo-terminal."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import GATEWAY, Network
from bakery.status import record_file
from bakery.status.record import Entry
from bakery.verify.pool.throwaway_pool import Pool
from tests import terminals
from tests.conftest import BIN, command
from tests.integration.pool.test_status_command import Value, advertise, claimed, slot

GROUP = "Watched"
ARGV = (str(BIN / "worker-bakery"), "status", "--pool", GATEWAY, "--group")


def of_group(group: str, *names: str) -> list[dict[str, Value]]:
    return [slot(name, WorkerGroupName=group) for name in names]


def recorded(path: Path) -> list[Entry]:
    entries, torn = record_file.read(path)
    assert torn == 0
    return entries


def test_the_life_of_a_group_on_a_terminal(pool: Pool, network: Network, tmp_path: Path) -> None:
    """Changes, another size, many workers, a collector that is away for a while, Ctrl-C."""
    advertise(pool, network, "three", of_group(GROUP, "node-1", "node-2", "node-3"))
    file = tmp_path / "watched.jsonl"
    argv = [*ARGV, GROUP, "--watch", "1", "--record", str(file)]
    exported = {"COLUMNS": "80", "LINES": "40"}  # as by readline(3), of another terminal
    with terminals.started(argv, (100, 24), prefix=network.argv([]), env=exported) as shown:
        shown.await_text(f"{GATEWAY}: WorkerGroupName {GROUP}", "every 1 s", "3 workers (3 idle)", "node-3")
        assert shown.is_alternate
        assert "last changes" not in shown.text()

        busy = [slot("node-1", WorkerGroupName=GROUP, Cpus=3), claimed("node-1", 1, WorkerGroupName=GROUP)]
        left = of_group("Elsewhere", "node-3")
        advertise(pool, network, "changed", [*busy, *left, *of_group(GROUP, "node-4")])
        text = shown.await_text("node-1: idle → busy, 0 → 1 job", "node-3 left", "node-4 joined: idle")
        [row] = [line for line in text.splitlines() if line.startswith("node-1")]
        assert row.split()[:3] == ["node-1", "busy", "1/2"]
        assert any(cell.reverse for cell in shown.screen.buffer[_row_of(text, "node-4")].values())

        shown.resize(30, 8)
        text = shown.await_text("node-1  busy", "3 workers")
        assert "retires" not in text

        advertise(pool, network, "many", of_group(GROUP, *(f"node-{number}" for number in range(10, 50))))
        shown.await_text("43 workers (1 busy, 42", "more workers")

        shown.resize(100, 24)
        pool.switch("collector", on=False)
        shown.await_text("No answer: this is the state of", f"{GATEWAY}", "43 workers", "node-1")
        pool.switch("collector", on=True)
        shown.await_text("No worker has joined.", "last changes")
        advertise(pool, network, "again", of_group(GROUP, "node-2"))
        shown.await_text("1 worker (1 idle)", "node-2 joined")
        assert "No answer" not in shown.text()

        shown.type(b"\x03")
        assert shown.end() == 128 + signal.SIGINT
        text = shown.text()
    assert not shown.is_alternate
    assert not shown.screen.cursor.hidden
    assert "note: The same by HTCondor" in text
    assert "node-2  idle" in text  # the last table stays
    assert "error" not in text

    entries = recorded(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {len(one.workers) for one in entries if one.workers is not None} >= {3, 43, 0, 1}
    assert any(one.failed for one in entries)
    assert all(one.every == 1 and GROUP in one.of for one in entries)
    _plots(file, tmp_path)


def _row_of(text: str, name: str) -> int:
    return next(number for number, line in enumerate(text.splitlines()) if line.startswith(name))


def _plots(file: Path, folder: Path) -> None:
    for suffix, start in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        out = folder / f"plot.{suffix}"
        done = command("worker-bakery", "status", "plot", str(file), "-o", str(out))
        assert (done.status, done.out) == (0, f"{out}\n"), done.err
        assert out.read_bytes().startswith(start)


def test_in_a_pipe(pool: Pool, network: Network, tmp_path: Path) -> None:
    """A block for each change, and nothing for a query without one."""
    group = "Piped"
    advertise(pool, network, "pipe", of_group(group, "pipe-1"))
    file = tmp_path / "piped.jsonl"
    argv = network.argv([*ARGV, group, "--watch", "1", "--quiet", "--record", str(file)])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = _block(process)
        before = len(recorded(file))
        assert "pipe-1  idle" in first[1:][1]
        advertise(pool, network, "pipe-more", of_group(group, "pipe-2"))
        second = _block(process)
        assert second[1] == "pipe-2 joined: idle"
        assert second[-1].startswith("2 workers (2 idle)")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + signal.SIGTERM, "", "")
    assert len(recorded(file)) > before


def _block(process: subprocess.Popen[str]) -> list[str]:
    """The lines until the summary and the empty line after it."""
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if "; claimed: " in line:
            break
    assert process.stdout.readline() == "\n"
    return lines


def test_a_pipe_that_nobody_reads_any_more(pool: Pool, network: Network) -> None:
    """As with `| head`: it ends although nothing changes."""
    advertise(pool, network, "head", of_group("Head", "head-1"))
    argv = network.argv([*ARGV, "Head", "--watch", "1", "--quiet"])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=120) == 128 + signal.SIGPIPE
        assert process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_restores_the_terminal(number: signal.Signals, pool: Pool, network: Network) -> None:
    advertise(pool, network, f"signal{number}", of_group("Signals", "signal-1"))
    with terminals.started([*ARGV, "Signals", "--watch", "1"], (80, 20), prefix=network.argv([])) as shown:
        shown.await_text("signal-1  idle", "every 1 s")
        shown.process.send_signal(number)
        assert shown.end() == 128 + number
        assert "signal-1  idle" in shown.text()
    assert not shown.is_alternate
    assert not shown.screen.cursor.hidden


def test_a_terminal_that_is_closed(pool: Pool, network: Network, tmp_path: Path) -> None:
    advertise(pool, network, "closed", of_group("Closed", "closed-1"))
    command_line = [*ARGV, "Closed", "--watch", "1", "--quiet"]
    errors = tmp_path / "errors"
    argv = ["sh", "-c", f'exec "$@" 2>{errors}', "sh", *command_line]
    with terminals.started(argv, (80, 20), prefix=network.argv([])) as shown:
        shown.await_text("closed-1  idle", "every 1 s")
        shown.close()
        assert shown.process.wait(timeout=120) == 128 + signal.SIGHUP
    assert errors.read_text() == ""


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_terminals_that_show_less(env: dict[str, str], pool: Pool, network: Network) -> None:
    advertise(pool, network, f"less{len(env.get('TERM', ''))}", of_group("Less", "less-1"))
    argv = [*ARGV, "Less", "--watch", "1"]
    with terminals.started(argv, (80, 20), prefix=network.argv([]), env=env) as shown:
        shown.await_text("less-1  idle")
        assert shown.is_alternate is ("TERM" not in env)
        colours = {cell.fg for line in shown.screen.buffer.values() for cell in line.values()}
        assert colours == {"default"}
        shown.type(b"\x03")
        assert shown.end() == 128 + signal.SIGINT


def test_json_lines(pool: Pool, network: Network) -> None:
    """--json is for programs, also on a terminal; --wait ends it."""
    advertise(pool, network, "json", of_group("Json", "json-1"))
    argv = network.argv([*ARGV, "Json", "--watch", "1", "--wait", "2", "--json"])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        first: dict[str, Any] = json.loads(process.stdout.readline())
        advertise(pool, network, "json-more", of_group("Json", "json-2"))
        rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    last = json.loads(rest.splitlines()[-1])
    assert [len(one["workers"]) for one in (first, last)] == [1, 2]
    assert last["time"] > first["time"]


def test_a_record_of_single_queries(pool: Pool, network: Network, tmp_path: Path) -> None:
    """As a timer makes it; also with --wait, and when nobody answers."""
    advertise(pool, network, "single", of_group("Single", "single-1"))
    file = tmp_path / "single.jsonl"
    for host, more, code in (
        (GATEWAY, (), 0),
        (GATEWAY, ("--wait", "2", "--timeout", "1s"), 5),
        (f"{GATEWAY}:1", (), 5),
    ):
        options = ("--pool", host, "--group", "Single", "--record", str(file), *more)
        done = command("worker-bakery", "status", *options, prefix=network.argv([]))
        assert done.status == code, done.err
    found = [(one.every, None if one.workers is None else len(one.workers)) for one in recorded(file)]
    assert found[0] == (None, 1)
    assert found[-1] == (None, None)
    assert set(found[1:-1]) == {(5.0, 1)}
    done = command(
        "worker-bakery", *("status", "--pool", GATEWAY, "--group", "Other", "--record", str(file)),
        prefix=network.argv([]),
    )  # fmt: skip
    assert (done.status, done.out) == (2, "")
    assert "is the record of other workers" in done.err
    _plots(file, tmp_path)
