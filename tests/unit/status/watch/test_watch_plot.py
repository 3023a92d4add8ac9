"""The picture of a record."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bakery.status import plot
from bakery.status.record import Entry
from bakery.status.timeline import timeline_of
from provisioner.errors import BadInput, MissingHere
from tests.unit.status.watch.examples import HOSTILE
from tests.unit.status.watch.test_watch_timeline import seen, silence

SESSION = (
    seen(0), seen(60, "a"), seen(120, "a", "b", jobs=2), silence(180), silence(240), seen(300, "a", jobs=1),
    seen(360),
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)  # before the rule that no program is started
def fonts() -> None:
    """Where its cache has no list of fonts, matplotlib runs fc-list."""
    import matplotlib.font_manager  # noqa: F401


def drawn(*entries: Entry, title: str = "WorkerGroupName W", format_name: str = "svg") -> bytes:
    timeline = timeline_of(entries)
    assert timeline
    return plot.draw(timeline, title, format_name)


def words(svg: bytes) -> str:
    """matplotlib draws text as outlines, and writes it in comments."""
    ElementTree.fromstring(svg)
    return svg.decode()


def test_formats() -> None:
    assert plot.format_of(Path("a.svg")) == "svg"
    assert plot.format_of(Path("a.b.PNG")) == "png"
    for name in ("a", "a.pdf", ".svg", "a.svg.gz", "-"):
        with pytest.raises(BadInput, match=r"must end in .svg or .png"):
            plot.format_of(Path(name))


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingHere, match=r"requires matplotlib.*pip install 'worker-bakery\[plot\]'"):
        plot.require_matplotlib()


@pytest.fixture(scope="module")
def session() -> bytes:
    return drawn(*SESSION)


def test_the_picture_says_what_it_shows(session: bytes) -> None:
    found = words(session)
    for text in (
        "WorkerGroupName W", "busy (claimed)", "idle", "not recorded", "number of jobs", "joined", "left",
        "time (UTC)", "2026-11-28 21:06:40 to 2026-11-28 21:12:40 UTC (6 min)",
    ):  # fmt: skip
        assert text in found, text


def test_the_same_record_gives_the_same_bytes(session: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any time zone, and whatever matplotlibrc has."""
    import matplotlib

    with matplotlib.rc_context({"figure.dpi": 30, "timezone": "US/Pacific", "font.size": 30}):
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        try:
            assert drawn(*SESSION) == session
        finally:
            monkeypatch.undo()
            time.tzset()


def test_png() -> None:
    assert drawn(*SESSION, format_name="png").startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    "entries",
    [
        [silence(0)],
        [seen(0, "a", jobs=3)],
        [seen(0), seen(200_000_000_000, "a")],
        [seen(-1_795_900_000, "a"), seen(-1_795_900_000 + 0.1)],
    ],
    ids=["never", "one", "centuries", "1970"],
)
def test_records_at_the_edges(entries: list[Entry]) -> None:
    words(drawn(*entries))


def test_any_name_is_text() -> None:
    found = words(drawn(seen(0), title=f"{HOSTILE} $x^2$ \\frac <b>&amp; 工人 {'long' * 90}"))
    assert "\x1b" not in found
    assert "$x^2$" in found
