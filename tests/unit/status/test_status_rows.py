"""Rows, table, CSV and JSON of recorded ads.

tests/golden/status/*.ads.json are ads of HTCondor 23.9.6: of an idle startd, of one that runs two jobs,
and of one that drains. WRITE_GOLDEN=1 writes the outputs again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bakery.commands.command_line import columns
from bakery.status import report, texts
from bakery.status.workers import ANY_JOB, NO_JOB, STATES, Ad, Worker, workers_of

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "status"
HEARD = 1795913875  # of the recorded ads, in seconds since 1970
NOW = HEARD + 120.0
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\r\nnode-1 idle \u202e\u2028"


def recorded(name: str, machine: str = "", **changed: object) -> list[Ad]:
    """The slots of a recorded startd, by another name and with other attributes."""
    ads = json.loads((GOLDEN / f"{name}.ads.json").read_text())
    return [{**_named(ad, machine), **changed} for ad in ads]


def _named(ad: dict[str, Any], machine: str) -> Mapping[str, Any]:
    slot = ad["Name"].partition("@")[0]
    return {**ad, "Name": f"{slot}@{machine}", "Machine": machine} if machine else ad


def one(ads: list[Ad], now: float = NOW) -> Worker:
    [worker] = workers_of(ads, now)
    return worker


def all_kinds() -> tuple[Worker, ...]:
    """Workers in every state, in no order."""
    error = {"expression": "error", "error": True}
    ads = [
        *recorded("idle", "node-10"),
        *recorded("busy", "node-2"),
        *recorded("busy", "node-3", NODE_IS_HEALTHY=False, NODE_STATUS=f"disk: full{HOSTILE}"),
        *recorded("drained", "node-4"),
        *recorded("busy", "node-5", Draining=True, DrainReason="kernel update"),
        *recorded("idle", "node-6", Start=error),
        *recorded("idle", "node-7", Start=True, GPUs=1, TotalSlotGPUs=2),
        *recorded("idle", "node-8", WorkerRetires=HEARD, WorkerEnds=HEARD + 3600),
        *recorded("idle", "node-9", LastHeardFrom=HEARD - 700),
        *recorded("idle", "node-11", State="Owner"),
        *recorded("idle", HOSTILE, WorkerImage=HOSTILE),
        *recorded("idle", "node-12", WorkerImage="osg-x", WorkerImageDate=HEARD - 61 * 86400),
        *recorded("idle", "node-13", WorkerImage="osg-x", WorkerImageDate=HEARD - 3 * 86400),
    ]
    return workers_of(reversed(ads), NOW)


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def shown(workers: tuple[Worker, ...], width: int) -> list[str]:
    lines = [*columns.table(report.rows(workers, NOW, width), width), ""]
    for line in (*report.remarks(workers, NOW), report.summary(workers)):
        lines += columns.wrapped(line, width, 2).splitlines()
    return lines


def test_the_table_of_all_states() -> None:
    workers = all_kinds()
    assert {worker.state for worker in workers} == set(STATES)
    golden("table.txt", "\n".join(shown(workers, 0)) + "\n")


def test_a_terminal_of_80_columns() -> None:
    lines = shown(all_kinds(), 80)
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[:4] == ["worker", "state", "slots", "CPUs"]  # it is still a table
    golden("table-80.txt", "\n".join(lines) + "\n")


def test_csv() -> None:
    golden("workers.csv", report.as_csv(all_kinds()))


def test_json() -> None:
    golden("workers.json", json.dumps(report.as_json(all_kinds()), indent=1) + "\n")


@pytest.mark.parametrize("output", ["table.txt", "table-80.txt", "workers.csv", "workers.json"])
def test_no_output_has_control_characters(output: str) -> None:
    text = (GOLDEN / output).read_text()
    assert all(character.isprintable() for character in text.replace("\n", ""))


def test_rows_are_sorted_by_the_numbers_in_names() -> None:
    names = [worker.name for worker in all_kinds()]
    numbered = [name for name in names if name.startswith("node-")]
    assert numbered == [f"node-{number}" for number in range(2, 14)]


def test_a_busy_worker() -> None:
    worker = one(recorded("busy"))
    assert (worker.state, worker.slots_busy, worker.slots) == ("busy", 2, 3)
    assert (worker.cpus_busy, worker.cpus) == (2, 4)
    assert (worker.memory_busy, worker.memory) == (256, 24105)
    assert worker.jobs == ("1.0", "1.1")
    assert worker.users == ("submitter@pool.verify.invalid",)
    assert worker.idle is None
    assert worker.up == 11 + 120


def test_idle_since_the_last_job_ended() -> None:
    """By the worker's clock, which may be hours off."""
    ads = recorded("idle", MyCurrentTime=5000, NumDynamicSlotsTime=4000, EnteredCurrentActivity=3000)
    assert one([{**ad, "LastHeardFrom": HEARD} for ad in ads]).idle == 1000 + 120


def test_static_slots() -> None:
    slot = {"SlotType": "Static", "Cpus": 1, "TotalSlotCpus": 1, "Memory": 100, "TotalSlotMemory": 100}
    [first] = recorded("idle", "m", **slot)
    second = {**first, "Name": "slot2@m", "State": "Claimed", "RemoteOwner": "a@x", "JobId": "7.0"}
    worker = one([second, first])
    assert (worker.slots_busy, worker.slots, worker.cpus_busy, worker.cpus) == (1, 2, 1, 2)
    assert worker.users == ("a@x",)


def test_a_partitionable_slot_without_cpus_has_no_room() -> None:
    ads = recorded("busy")
    full = [{**ad, "Cpus": 0} if ad["SlotType"] == "Partitionable" else ad for ad in ads]
    assert (one(full).slots_busy, one(full).slots) == (2, 2)


def test_two_workers_of_one_name() -> None:
    """Host names as localhost are not unique; a startd that starts again has another port, not address."""
    first, same, other = (
        recorded("idle", "localhost", MyAddress=address)
        for address in ("<10.0.0.1:1?sock=a>", "<10.0.0.1:2?sock=b>", "<10.0.0.2:1?sock=a>")
    )
    assert len(workers_of([*first, *other], NOW)) == 2
    assert len(workers_of([*first, *same], NOW)) == 1


@pytest.mark.parametrize(
    ("start", "accepts", "text"),
    [
        (True, ANY_JOB, "true"),
        (False, "", "false"),
        ({"expression": "undefined", "error": False}, NO_JOB, "undefined"),
        ({"expression": "error", "error": True}, NO_JOB, "error"),
        ({"expression": "true && error", "error": True}, NO_JOB, "true && error"),
        ({"expression": 'TARGET.Owner == "a"', "error": False}, "", 'TARGET.Owner == "a"'),
        ("TARGET.Owner", NO_JOB, "TARGET.Owner"),
    ],
)
def test_start(start: object, accepts: str, text: str) -> None:
    worker = one(recorded("idle", Start=start))
    assert (worker.accepts, worker.start) == (accepts, text)
    assert (worker.state == "Start error") is (accepts == NO_JOB)
    said = [line for line in report.remarks([worker], NOW) if "Start of" in line]
    assert said
    assert said[0].startswith("WARNING: ") is bool(accepts)


def test_a_drained_slot_has_no_start() -> None:
    worker = one(recorded("drained"))
    assert (worker.state, worker.start, worker.accepts) == ("drained", "", "")


def test_ads_of_the_wrong_types() -> None:
    """Anybody who may advertise may send anything."""
    wrong: dict[str, object] = dict.fromkeys(json.loads((GOLDEN / "busy.ads.json").read_text())[0], 7)
    assert one([{**wrong, "Name": "slot1@m"}]).name == "m"
    texts_alone: dict[str, object] = dict.fromkeys(wrong, "x")
    assert one([texts_alone]).cpus == 0
    infinite: dict[str, object] = dict.fromkeys(wrong, float("inf"))
    assert one([infinite]).cpus == 0
    assert one([{}]).name == ""
    report.as_csv(workers_of([{}, wrong, infinite], NOW))
    shown(workers_of([{}, wrong, infinite], NOW), 80)


def test_no_workers() -> None:
    assert report.as_csv(()).count("\n") == 1
    assert report.as_json(())["totals"]["workers"] == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_durations(seconds: int, text: str) -> None:
    assert texts.duration(seconds) == text


def test_texts() -> None:
    assert texts.printable("a\tb\n\x1b[0m é") == "a\\x09b\\x0a\\x1b[0m é"
    assert texts.printable("\u202e\U000e0001") == "\\u202e\\U000e0001"
    assert len(texts.printable("x" * 5000)) == 300
    assert texts.shortened("abcdefghij", 7) == "abc…hij"
    assert texts.gibibytes(0) + texts.gibibytes(256) + texts.gibibytes(24105) == "00.224"
    assert texts.named(["a", "b"]) == "a and b"
    assert texts.named(list("abcdef")) == "a, b, c and 3 others"


@pytest.mark.parametrize(
    ("date", "text"),
    [
        (None, "Image of w: osg-x"),
        (int(NOW) - 3 * 86400, "Image of w: osg-x, 3 d old"),
        (int(NOW) + 500, "Image of w: osg-x, 0 s old"),
        (
            int(NOW) - 61 * 86400,
            "WARNING: Image of w: osg-x is 61 d old: bake it again for updates (worker-bakery outdated)",
        ),
    ],
)
def test_the_age_of_an_image(date: int | None, text: str) -> None:
    changed = {} if date is None else {"WorkerImageDate": date}
    worker = one(recorded("idle", "w", WorkerImage="osg-x", **changed))
    assert worker.image_date == date
    assert text in report.remarks([worker], NOW)
