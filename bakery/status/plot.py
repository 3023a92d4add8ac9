"""Draw the timeline of a record as SVG or PNG, by matplotlib.

The same timeline gives the same bytes: times are in UTC, and neither a date nor the user's matplotlibrc has
an influence.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.status.texts import duration, printable
from bakery.status.timeline import Change, Point, Timeline
from provisioner.errors import BadInput, MissingHere

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
_SIZE = (9.0, 6.6)  # inches
_DPI = 120  # of a PNG
_MARGIN = 60.0  # seconds on both sides of a record of one query
# Colours that people with any colour vision tell apart (Okabe and Ito, 2008).
_BUSY, _IDLE, _JOBS, _JOINED, _LEFT, _GAP = (
    "#0072b2", "#a6d3ee", "#000000", "#009e73", "#d55e00", "#e8e8e8",
)  # fmt: skip


def format_of(path: Path) -> str:
    """Return svg or png, by the suffix of the file. Raises BadInput."""
    found = path.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise BadInput(f"{path} must end in .svg or .png.", "The suffix selects the format.")
    return found


def require_matplotlib() -> None:
    """Raise MissingHere if matplotlib is not installed."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its remarks about its cache and fonts
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingHere(
            "status plot requires matplotlib, which is not installed.",
            "Install it: pip install 'worker-bakery[plot]'",
        ) from None


def draw(timeline: Timeline, title: str, format_name: str) -> bytes:
    """Return the picture. Raises MissingHere."""
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    settings = {**matplotlib.rcParamsDefault, "svg.hashsalt": "worker-bakery", "timezone": "UTC"}
    settings.pop("backend", None)  # to set it would load the user interface of a desktop
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font does not have
        figure = Figure(figsize=_SIZE, layout="constrained")
        _fill(figure, timeline, title)
        out = io.BytesIO()
        metadata = {"Date": None} if format_name == "svg" else {"Software": None}
        figure.savefig(out, format=format_name, dpi=_DPI, metadata=metadata)
    return out.getvalue()


def _fill(figure: Figure, timeline: Timeline, title: str) -> None:
    slots, jobs, workers = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1, 1.3))
    figure.suptitle(printable(title, 90), fontsize="large", parse_math=False)
    slots.set_title(_span(timeline), fontsize="small", color="#555555")
    _draw_slots(slots, timeline.stretches)
    _draw_line(jobs, timeline.stretches, "jobs", "running jobs")
    _draw_line(workers, timeline.stretches, "workers", "workers in the pool")
    _draw_changes(workers, timeline.changes)
    for axes, label in ((slots, "slots"), (jobs, "jobs"), (workers, "workers")):
        _draw_gaps(axes, timeline, "not recorded" if axes is slots else None)
        leaves = axes is workers and any(one.left for one in timeline.changes)
        _finish(axes, label, has_leaves=leaves)
    _finish_time(workers, timeline)


def _draw_slots(axes: Axes, stretches: Sequence[Sequence[Point]]) -> None:
    """Claimed slots, and the others on top of them."""
    for number, part in enumerate(stretches):
        times = [_time(point.time) for point in part]
        busy = [point.slots_busy for point in part]
        every = [max(point.slots, point.slots_busy) for point in part]
        names = ("busy (claimed)", "idle") if not number else (None, None)
        wide: dict[str, Any] = {"step": "post", "linewidth": 1.5 if len(part) == 1 else 0}
        axes.fill_between(times, 0, busy, color=_BUSY, label=names[0], **wide)
        axes.fill_between(times, busy, every, color=_IDLE, label=names[1], **wide)


def _draw_line(axes: Axes, stretches: Sequence[Sequence[Point]], name: str, label: str) -> None:
    for number, part in enumerate(stretches):
        marker = "." if len(part) == 1 else ""  # a line of one point is invisible
        axes.plot(
            [_time(point.time) for point in part],
            [getattr(point, name) for point in part],
            color=_JOBS,
            drawstyle="steps-post",
            linewidth=1.3,
            marker=marker,
            label=None if number else label,
        )


def _draw_changes(axes: Axes, changes: Sequence[Change]) -> None:
    """Bars from 0: joins above, leaves below."""
    for name, sign, color, marker in (("joined", 1, _JOINED, "^"), ("left", -1, _LEFT, "v")):
        found = [(_time(one.time), sign * getattr(one, name)) for one in changes if getattr(one, name)]
        if found:
            times, counts = zip(*found, strict=True)
            axes.vlines(times, 0, counts, color=color, linewidth=1.5)
            axes.plot(times, counts, color=color, marker=marker, linestyle="", markersize=5, label=name)


def _draw_gaps(axes: Axes, timeline: Timeline, label: str | None) -> None:
    for start, end in timeline.gaps:
        axes.axvspan(_time(start), _time(end), color=_GAP, linewidth=0, zorder=0, label=label)
        label = None


def _finish(axes: Axes, label: str, *, has_leaves: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_ylabel(f"number of {label}")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    low, high = axes.get_ylim()
    axes.set_ylim(low if has_leaves else 0.0, max(1.0, high))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")


def _finish_time(axes: Axes, timeline: Timeline) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    margin = 0.0 if timeline.end > timeline.start else _MARGIN
    axes.set_xlim(_time(timeline.start - margin), _time(timeline.end + margin))
    locator = AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=UTC)
    axes.xaxis.set_major_formatter(formatter)
    axes.set_xlabel("time (UTC)")


def _span(timeline: Timeline) -> str:
    start, end = (
        datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
        for seconds in (timeline.start, timeline.end)
    )
    return f"{start} to {end} UTC ({duration(timeline.end - timeline.start)})"


def _time(seconds: float) -> float:
    """The unit of matplotlib: days since 1970."""
    return seconds / 86400
