"""Tables on narrow terminals: worker-bakery bases and cache list."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from bakery.commands import bases, cache
from bakery.commands.command_line import columns, terminal
from bakery.image import bases as known_bases
from bakery.store.store import Store

Captured = pytest.CaptureFixture[str]
ROWS = [
    ("name", "tested", "until"),
    ("one", "booted, and joined a pool", "2030-01-01"),
    ("two (default)", "no", ""),
]


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def as_wide(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(terminal, "width", lambda _: width)


@pytest.mark.parametrize("width", [0, 52, 200])
def test_a_table_that_fits_or_has_no_terminal_is_not_wrapped(width: int) -> None:
    assert list(columns.table(ROWS, width)) == [
        "name           tested                     until",
        "one            booted, and joined a pool  2030-01-01",
        "two (default)  no",
    ]


def test_the_widest_cells_are_wrapped_first() -> None:
    assert list(columns.table(ROWS, 40)) == [
        "name           tested         until",
        "one            booted, and    2030-01-01",
        "               joined a pool",
        "two (default)  no",
    ]


def test_a_terminal_too_narrow_for_the_words_gets_lists() -> None:
    assert list(columns.table(ROWS, 24)) == [
        "one",
        "  tested  booted, and",
        "          joined a pool",
        "  until   2030-01-01",
        "two (default)",
        "  tested  no",
        "  until",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_list_of_bases_fits_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert bases.main([]) == 0
    piped = capsys.readouterr().out
    assert max(map(len, piped.splitlines())) > 120
    as_wide(monkeypatch, width)
    assert bases.main([]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    assert all(base.name in shown for base in known_bases.known())
    assert bases.main(["--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(known_bases.known())


def test_the_list_of_the_cache_fits_the_terminal_and_shortens_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path))
    digest = "0123456789abcdef" * 4
    part = Store(tmp_path).download(digest)
    part.parent.mkdir()
    part.write_bytes(b"some")
    part.with_name(f"{digest}.damaged").write_bytes(b"others")
    for path in part.parent.iterdir():  # two hours ago, also if this test takes minutes
        os.utime(path, (path.stat().st_mtime - 9000,) * 2)
    assert cache.main(["list"]) == 0
    _, *piped = capsys.readouterr().out.splitlines()
    assert len(piped) == 2 and min(map(len, piped)) > 60
    assert digest not in str(piped) and "0123456789ab.damaged" in str(piped)
    as_wide(monkeypatch, 60)
    assert cache.main(["list"]) == 0
    _, *shown = capsys.readouterr().out.splitlines()
    assert max(map(len, shown)) <= 60
    assert " ".join(map(str.strip, shown)).split() == " ".join(piped).split()
    assert cache.main(["list", "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)["entries"]}
    assert names == {digest, f"{digest}.damaged"}
