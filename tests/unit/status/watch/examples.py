"""Workers for the tests of --watch, --record and plot."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from bakery.status.workers import STATES, Worker

NOW = 1_795_900_000.0
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\r\nnode-1 idle \u202e\u2028[bold]\\"


def worker(name: str, **changed: Any) -> Worker:
    """An idle worker with 4 CPUs."""
    its: dict[str, Any] = {
        "name": name, "state": "idle", "slots_busy": 0, "slots": 1, "cpus_busy": 0, "cpus": 4,
        "memory_busy": 0, "memory": 8192, "gpus_busy": 0, "gpus": 0, "jobs": (), "users": (), "idle": 60,
        "up": 3600, "heard": 5, "retires": int(NOW) + 7200, "ends": int(NOW) + 9000, "image": "osg-1",
        "instance": "i-1", "identity": "worker@cloud", "healthy": True, "health": "OK", "drain_reason": "",
        "start": 'TARGET.ProjectName == "TG-ABC123"', "accepts": "",
    }  # fmt: skip
    return Worker(**{**its, **changed})


def busy(name: str, *jobs: str, **changed: Any) -> Worker:
    """A worker that runs these jobs on a CPU each."""
    of_jobs = {"state": "busy", "slots_busy": len(jobs), "slots": len(jobs) + 1, "cpus_busy": len(jobs)}
    return worker(name, **{**of_jobs, "jobs": jobs, "users": ("alice@x",), "idle": None, **changed})


TEXTS = st.one_of(st.sampled_from(["", "node-1", "n" * 300, HOSTILE, "工人"]), st.text(max_size=80))
_COUNTS = st.one_of(st.integers(0, 3), st.integers(0, 2**40))
_SECONDS = st.one_of(st.none(), st.integers(0, 2**33))
WORKERS = st.builds(
    Worker,
    **dict.fromkeys(("name", "image", "instance", "identity", "health", "drain_reason", "start"), TEXTS),
    **{name: _COUNTS for part in ("slots", "cpus", "memory", "gpus") for name in (part, f"{part}_busy")},
    **dict.fromkeys(("idle", "up", "heard", "retires", "ends"), _SECONDS),
    state=st.sampled_from(STATES),
    jobs=st.lists(TEXTS, max_size=3).map(tuple),
    users=st.lists(TEXTS, max_size=6).map(tuple),
    healthy=st.sampled_from([None, True, False]),
    accepts=st.sampled_from(["any job", "no job", ""]),
)
GROUPS = st.lists(WORKERS, max_size=5).map(tuple)
