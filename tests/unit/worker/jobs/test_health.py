"""The checks of the health probe, and how it recognises processes that it left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from worker_runtime.jobs import health
from worker_runtime.jobs.health import FreeSpace, Report
from worker_runtime.system import timed_checks
from worker_runtime.system.timed_checks import Process, Session

SESSION = Session(leader=40, started=1000, at=1795327659)


def test_nothing_found_is_ok() -> None:
    assert health.make_report([], 5, "") == Report(True, "OK", 5, "")


def test_all_reasons_are_said_and_a_remark_is_none() -> None:
    report = health.make_report(["load: high", "clock: slow"], 5, "a remark")
    assert report == Report(False, "load: high; clock: slow", 5, "a remark")


def test_what_the_startd_reads() -> None:
    assert (
        health.format_attributes(Report(True, "OK", 5, "x"))
        == 'NODE_IS_HEALTHY = True\nNODE_STATUS = "OK"\n'
    )
    said = health.format_attributes(Report(False, 'a "b"\nNODE_IS_HEALTHY = True\té', 5, ""))
    assert said == 'NODE_IS_HEALTHY = False\nNODE_STATUS = "a \\"b\\"?NODE_IS_HEALTHY = True??"\n'


@pytest.mark.parametrize(
    ("room", "problem"),
    [
        (FreeSpace(512 << 20, 1000), None),
        (FreeSpace(512 << 20, None), None),
        (FreeSpace((512 << 20) - 1, 1000), "full, 511 MiB are left"),
        (FreeSpace(1 << 40, 999), "full, room for 999 more files only"),
    ],
)
def test_room(room: FreeSpace, problem: str | None) -> None:
    assert health.space_problem(room) == problem


def test_the_execute_folder_is_really_written_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "MIN_FREE", 0)
    assert health.execute_problem(str(tmp_path)) is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        health.execute_problem(str(tmp_path / "nowhere"))


def test_nobody_s_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("here")
    (tmp_path / ".worker-health").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):
        health.execute_problem(str(tmp_path))
    assert (tmp_path / "precious").read_text() == "here"


def test_only_an_absurd_load_is_an_illness() -> None:
    assert health.high_load_problem(80, 4) is None
    assert health.high_load_problem(81, 4) == "81 over 15 minutes, on 4 CPUs"


def test_a_clock_before_the_image_s_making_is_wrong() -> None:
    made = 1795327659.0
    assert health.early_clock_problem(made, made) is None
    assert health.early_clock_problem(made - 80000, made) is None
    assert health.early_clock_problem(0, made) == "it shows 1970-01-01, before the image was built"


def test_a_clock_that_nobody_keeps_is_remarked() -> None:
    assert health.clock_remark(5) == "the clock is not synchronized"
    assert health.clock_remark(0) == ""
    assert health.kernel_clock_state() in range(6)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ("", ()),
        ("# CVMFS_REPOSITORIES=a.org\n", ()),
        ("CVMFS_REPOSITORIES=a.org,b.example.org\n", ("a.org", "b.example.org")),
        ("CVMFS_REPOSITORIES='a.org b.org'  # mine", ("a.org", "b.org")),
        ('CVMFS_REPOSITORIES=a.org\nexport CVMFS_REPOSITORIES="b.org"\n', ("b.org",)),
        ("CVMFS_REPOSITORIES=`echo a.org`\n", ()),
        ("CVMFS_REPOSITORIES=../../etc,a.org\n", ()),
    ],
)
def test_repositories(settings: str, names: tuple[str, ...]) -> None:
    assert health.repositories(settings) == names


def test_a_root_for_a_container_is_made_once(tmp_path: Path) -> None:
    for _ in range(2):
        health.container_root(str(tmp_path))
    assert (tmp_path / "usr").is_dir() and (tmp_path / "var/tmp").is_dir()
    assert (tmp_path / "lib64").readlink() == Path("usr/lib64")


def test_only_what_there_is_on_a_machine_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, program = tmp_path / "default.local", tmp_path / "apptainer"
    monkeypatch.setattr(health, "CVMFS_SETTINGS", str(settings))
    monkeypatch.setattr(health, "CONTAINERS", (str(program), "/usr/bin/env"))
    always = ["execute file system", "load", "clock"]
    assert [check.name for check in health.checks("/")] == [*always, "containers"]
    monkeypatch.setattr(health, "CONTAINERS", (str(program),))
    assert [check.name for check in health.checks("/")] == always
    settings.write_text("CVMFS_REPOSITORIES=a.org\n")
    asked = health.checks("/")
    assert [check.name for check in asked] == [*always, "CVMFS a.org"]
    # HTCondor replaces a look that takes longer than the time between two.
    assert max(check.seconds for check in asked) < 60


def test_a_line_of_proc() -> None:
    line = f"41 (a) Z 9 ({')'}) D 1 2 40 {' '.join(map(str, range(7, 22)))} 1000 23\n"
    assert timed_checks.parse_stat(line) == Process(41, "D", 40, 1000)


def test_this_process_is_among_the_processes() -> None:
    mine = [process for process in timed_checks.processes() if process.pid == os.getpid()]
    assert [process.session for process in mine] == [os.getsid(0)]


@pytest.mark.parametrize(
    ("running", "there"),
    [
        ([Process(40, "D", 40, 1000)], True),
        ([Process(40, "Z", 40, 1000)], False),
        ([], False),
        # Its leader has gone, but what it started has not.
        ([Process(55, "S", 40, 1200)], True),
        # The number was given anew, to the leader of another session.
        ([Process(40, "S", 40, 9000), Process(55, "S", 40, 9001)], False),
        ([Process(40, "S", 39, 1000)], False),
    ],
)
def test_what_is_still_there(running: list[Process], there: bool) -> None:
    assert timed_checks.still_running({"x": SESSION}, running) == ({"x": SESSION} if there else {})


def test_since_when() -> None:
    assert timed_checks.no_answer_since(SESSION) == "no answer since 2026-11-22T06:07:39Z"


def test_nothing_is_remembered_at_first(tmp_path: Path) -> None:
    assert timed_checks.load_sessions(str(tmp_path / "memory")) == {}
