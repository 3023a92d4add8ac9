"""Diagnoses of serial logs. Those of panic, memory, emergency mode and root device are recordings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bakery.machines import serial

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "serial"
HEALTHY = "healthy"
LOGS = sorted(path for path in GOLDEN.glob("*.log") if not path.name.startswith(HEALTHY))


def named(path: Path) -> str:
    return path.name.partition(".")[0]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_a_log_is_diagnosed_by_one_of_its_lines(path: Path) -> None:
    text = path.read_text()
    found = serial.diagnose(text)
    assert found and found.name == named(path)
    assert found.hint and found.line in serial.strip_escapes(text)
    assert "\x1b" not in found.line
    assert str(found).startswith(found.summary)


def test_each_sign_has_a_log() -> None:
    names = {sign.name for sign in serial.SIGNS} | {"silent"}
    assert {named(path) for path in LOGS} == names


@pytest.mark.parametrize("path", sorted(GOLDEN.glob(f"{HEALTHY}*")), ids=lambda path: path.name)
def test_a_healthy_boot_has_no_sign_at_any_moment(path: Path) -> None:
    rows = path.read_text().splitlines(keepends=True)
    assert len(rows) > 20
    assert [row for row in rows if serial.diagnose(row) not in (None, serial.diagnose(""))] == []
    assert serial.diagnose("".join(rows)) is None


@pytest.mark.parametrize(
    "text",
    [
        "Memory cgroup out of memory: Killed process 812 (eat-memory.py) total-vm:2120kB",
        "[  OK  ] Reached target network-online.target - Network is Online.",
        "ci-info: |  lo  | False |     .     |",
        "[  OK  ] Started ssh.service - OpenBSD Secure Shell server.",
    ],
)
def test_a_message_of_a_healthy_machine_is_not_a_sign(text: str) -> None:
    assert serial.diagnose(text) is None


def test_signs_after_which_a_machine_cannot_recover_are_final() -> None:
    final = {sign.name for sign in serial.SIGNS if sign.final}
    assert final == {
        *("cpu-level", "no-boot-loader", "boot-loader", "no-root-device"),
        *("out-of-memory", "kernel-panic", "emergency-mode"),
    }


def test_a_cause_is_reported_before_its_consequence() -> None:
    """The log has glibc's error, and then the panic of a kernel without init."""
    text = (GOLDEN / "cpu-level.el9.log").read_text()
    assert re.search("Kernel panic", text)
    assert serial.diagnose(text) == serial.diagnose(text.splitlines()[1])


def test_last_lines_are_not_empty() -> None:
    assert serial.last_lines("\x1b[1mone\x1b[0m\r\n\r\n\r\ntwo\r\nthree", 2) == "two\nthree"
