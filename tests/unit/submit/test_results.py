"""What the table says of a DAG's folder, from what DAGMan and the jobs have left in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bakery.submit import event_log, folder, results, submission
from bakery.submit.description import SubmitOptions
from bakery.submit.images import JobImage
from provisioner.errors import BadInput
from provisioner.events import Silent

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "submit"
ENDED = """\
000 (001.000.000) 2026-11-28 23:26:54 Job submitted from host
...
009 (001.000.000) 2026-11-28 23:27:14 Job was aborted.
...
"""


def status(**nodes: int) -> str:
    """A status file of DAGMan."""
    ads = (
        f'[\n  Type = "NodeStatus";\n  Node = "{node}";\n  NodeStatus = {number}; /* "…" */\n]\n'
        for node, number in nodes.items()
    )
    return '[\n  Type = "DagStatus";\n  DagStatus = 3;\n]\n' + "".join(ads)


@pytest.fixture
def dag(tmp_path: Path) -> Path:
    """The folder of two images, as it was written."""
    two = [
        JobImage(label=name, output=tmp_path / f"{name}.qcow2", architecture="x86_64")
        for name in ("a", "b")
    ]
    folder.write(tmp_path / "x.dag", two, SubmitOptions())
    return tmp_path / "x.dag"


def test_before_it_was_submitted(dag: Path) -> None:
    assert [one.state for one in results.read(dag)] == ["waiting", "waiting"]
    assert results.worst(results.read(dag)) == 0
    with pytest.raises(BadInput, match="not submitted"):
        submission.wait(dag, Silent())


def test_a_folder_without_a_dag(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not the folder of a DAG"):
        results.read(tmp_path)


def test_an_image_that_arrived(dag: Path) -> None:
    node = dag / "nodes/a"
    shutil.copyfile(GOLDEN / "baked.log", node / "job.log")
    (dag / "bake.dag.status").write_text(status(a=5, b=3))
    manifest = {"sha256": "00", "proof": {"offline": {}, "boot": {}}}
    (dag.parent / "a.json").write_text(json.dumps(manifest))
    found = results.read(dag)[0]
    assert (found.state, found.code, found.starts) == (results.BAKED, 0, 1)
    assert found.machine == "node-a.pool.submit.invalid"
    assert found.verified == "boot"
    assert found.detail == str(dag.parent / "a.qcow2")
    (dag.parent / "a.json").write_text(json.dumps({"proof": {}}))
    assert results.read(dag)[0].verified == "not verified"
    (node / "out").mkdir()
    (node / "out/not-verified").write_text("no root on n1\n")
    assert results.read(dag)[0].verified == "not verified: no root on n1"


def test_the_error_of_the_last_attempt(dag: Path) -> None:
    node = dag / "nodes/b"
    (dag / "bake.dag.status").write_text(status(a=3, b=6))
    (node / "ended").write_text("0 1 1\n9 3 3\n10 5 5\n")
    event = {"event": "error", "message": "The mirror is gone.", "hint": "Try another."}
    for attempt, text in ((0, "x"), (9, "y"), (10, f"warning\n{json.dumps(event)}\nsudo: bye\n")):
        (node / f"job.{attempt}.err").write_text(text)
    found = results.read(dag)
    assert (found[1].code, found[1].detail) == (5, "The mirror is gone. Try another.")
    assert results.worst(found) == 5


def test_the_last_lines_of_a_job_without_an_error_event(dag: Path) -> None:
    (dag / "bake.dag.status").write_text(status(b=6))
    (dag / "nodes/b/ended").write_text("0 127 127\n")
    (dag / "nodes/b/job.0.err").write_text("one\n\ntwo\nthree\nfour\n")
    assert results.read(dag)[1].detail == "two\nthree\nfour"


def test_the_reason_of_a_hold(dag: Path) -> None:
    shutil.copyfile(GOLDEN / "held.log", dag / "nodes/a/job.log")
    (dag / "nodes/a/ended").write_text("0 -1002 1\n")
    (dag / "bake.dag.status").write_text(status(a=6))
    assert results.read(dag)[0].detail == "The job was held: The site holds such jobs."
    assert results.worst(results.read(dag)) == 1


def test_an_image_that_is_not_the_one_that_was_baked(dag: Path) -> None:
    (dag / "bake.dag.status").write_text(status(a=6))
    (dag / "nodes/a/ended").write_text("0 0 7\n")
    (dag / "nodes/a/collect.log").write_text("The SHA-256 digest of the image is 1, but 2.\n")
    found = results.read(dag)[0]
    assert (found.code, found.detail) == (7, "The SHA-256 digest of the image is 1, but 2.")


def test_a_dag_that_has_ended_before_its_nodes(dag: Path) -> None:
    (dag / "bake.dag.dagman.log").write_text(ENDED)
    (dag / "bake.dag.dagman.out").write_text("11/28/26 23:25:48 ERROR: the log is in /tmp\n")
    found = results.read(dag)
    assert [(one.state, one.code, one.detail) for one in found] == [
        (results.FAILED, 1, "DAGMan: the log is in /tmp")
    ] * 2
    submission.wait(dag, Silent())  # at once


def test_a_dag_that_was_submitted_again_is_at_work(dag: Path) -> None:
    again = "000 (009.000.000) 2026-11-28 23:30:00 Job submitted\n...\n"
    (dag / "bake.dag.dagman.log").write_text(ENDED + again)
    assert not results.has_ended(dag)


def test_the_event_log() -> None:
    log = list(event_log.events((GOLDEN / "baked.log").read_text()))
    assert [event.number for event in log] == [0, 40, 1, 40, 6, 40, 40, 5]
    assert event_log.state(log) == "collecting"
    assert event_log.state(log[:4]) == "running"
    assert event_log.state(log[:1]) == "idle"
    assert event_log.state([]) == ""
    cut = (GOLDEN / "baked.log").read_text()[:-5]
    assert event_log.state(list(event_log.events(cut))) == "running"  # the last event is not complete


def test_the_log_of_a_job_whose_machine_vanished() -> None:
    log = list(event_log.events((GOLDEN / "killed.log").read_text()))
    assert event_log.starts(log) == 2
    assert event_log.machine(log).startswith("node-b.")
    states = [event_log.state(log[: number + 1]) for number in range(len(log))]
    assert list(dict.fromkeys(states)) == ["idle", "running", "disconnected", "collecting"]
