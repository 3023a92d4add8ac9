"""Parse -machine-readable output of packer 1.6.6 and 1.16; tests/golden/packer has its sources."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.engines.packer import guest, machine_readable
from bakery.engines.packer.machine_readable import Artifact, Message, parse
from provisioner.events import Event

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "packer"


def messages(name: str) -> list[Message]:
    lines = [parse(row) for row in (GOLDEN / name).read_text().splitlines()]
    assert None not in lines
    return [line for line in lines if line]


def events(name: str) -> list[Event]:
    return [event for line in messages(name) for event in machine_readable.events(line)]


BUILT = ["1.6.6-built.txt", "1.16-built.txt"]


@pytest.mark.parametrize("name", BUILT)
def test_artifacts_are_found(name: str) -> None:
    assert machine_readable.artifacts(messages(name)) == [
        Artifact("transcend.qemu", ("/images/output/disk.qcow2",))
    ]
    assert machine_readable.errors(messages(name)) == []


@pytest.mark.parametrize("name", BUILT)
def test_events_of_our_provisioner_are_decoded(name: str) -> None:
    assert [event for event in events(name) if event["event"] != "line"] == [
        {"event": "note", "text": "100% of C:\\n, two\nlines"}
    ]


@pytest.mark.parametrize("name", BUILT)
def test_other_text_is_output_without_packer_s_prefixes(name: str) -> None:
    texts = [event["text"] for event in events(name) if event["event"] == "line"]
    assert "Starting VM, booting disk image" in texts
    assert "view the screen of the VM, connect via VNC without a password to" in texts
    assert "Connected to SSH!" in texts
    assert not [text for text in texts if "\n" in text or (re.match("==>|-->", text) and "qemu" in text)]


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        (
            "1.6.6-qemu-failed.txt",
            [
                "Error launching VM: Qemu failed to start. Please run with PACKER_LOG=1 to get more info.",
                "Build was halted.",
            ],
        ),
        ("1.16-timeout.txt", ["Timeout waiting for SSH."]),
    ],
)
def test_error_messages_are_distinct(name: str, reasons: list[str]) -> None:
    assert machine_readable.errors(messages(name)) == reasons
    assert machine_readable.artifacts(messages(name)) == []


def test_escapes_are_decoded() -> None:
    line = parse("1,b,ui,say,a%!(PACKER_COMMA)b\\nc\\rd,second")
    assert line == Message("b", "ui", ("say", "a,b\nc\rd", "second"))


@pytest.mark.parametrize("text", ["", "panic: runtime error", "a,b,c,d", "1,2"])
def test_other_lines_are_not_parsed(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("broken", ["{", "[]", '{"text": "no event"}'])
def test_invalid_events_are_output(broken: str) -> None:
    row = Message("", "ui", ("say", f"==> qemu.worker: {guest.EVENT}{broken}"))
    assert list(machine_readable.events(row)) == [{"event": "line", "text": guest.EVENT + broken}]


def through_packer(text: str) -> str:
    """Encode a line printed by a provisioner as packer/ui.go does."""
    escaped = f"    qemu.worker: {text}".replace(",", "%!(PACKER_COMMA)")
    return "1,,ui,message," + escaped.replace("\r", "\\r").replace("\n", "\\n")


@given(st.text())
def test_any_text_in_an_event_is_preserved(text: str) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        guest.PrefixedJson().emit({"event": "line", "text": text})
    line = parse(through_packer(printed.getvalue().rstrip("\n")))
    assert line
    assert list(machine_readable.events(line)) == [{"event": "line", "text": text}]


def test_tokens_are_removed_from_the_output() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
    printed = io.StringIO()
    with redirect_stdout(printed):
        for monitor in (guest.PrefixedJson(), guest.PlainText()):
            monitor.emit({"event": "line", "text": f"said {token}"})
            monitor.emit({"event": "error", "message": json.dumps(token), "hint": ""})
    assert "c2lnbmF0dXJl" not in printed.getvalue()
    assert printed.getvalue().count("[token]") == 4
