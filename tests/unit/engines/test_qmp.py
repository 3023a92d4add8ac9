"""The QMP client, on streams with messages of QEMU 10."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from bakery.engines.packer import engine, qmp
from bakery.engines.packer.build_files import Files
from provisioner.errors import BakeryError, Interrupted

GREETING = {"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": ["oob"]}}
DONE: dict[str, Any] = {"return": {}}
EVENT = {
    "timestamp": {"seconds": 1795353600, "microseconds": 1},
    "event": "NIC_RX_FILTER_CHANGED",
    "data": {"path": "/machine/peripheral-anon/device[0]/virtio-backend"},
}
REFUSED = {"error": {"class": "GenericError", "desc": "Cannot find device='system' nor node-name=''"}}


class Stream(BytesIO):
    """Contains all messages of QEMU; records the messages sent to it."""

    def __init__(self, *messages: object) -> None:
        super().__init__(b"".join(json.dumps(message).encode() + b"\r\n" for message in messages))
        self.sent: list[dict[str, Any]] = []

    def write(self, data: Any) -> int:
        self.sent.append(json.loads(data))
        return len(data)


def test_commands_follow_the_greeting_and_events_are_ignored() -> None:
    stream = Stream(GREETING, DONE, EVENT, {"return": {"status": "running"}})
    assert qmp.Monitor(stream).execute("query-status") == {"status": "running"}
    assert stream.sent == [{"execute": "qmp_capabilities"}, {"execute": "query-status"}]


def test_an_error_of_qemu_is_reported() -> None:
    with pytest.raises(BakeryError, match="QEMU refused query-block: Cannot find device='system'"):
        qmp.Monitor(Stream(GREETING, DONE, REFUSED)).execute("query-block")


@pytest.mark.parametrize("messages", [(), (GREETING,), (GREETING, DONE), (GREETING, DONE, EVENT)])
def test_a_closed_connection_is_an_error(messages: tuple[object, ...]) -> None:
    with pytest.raises(BakeryError, match="closed the QMP connection"):
        qmp.Monitor(Stream(*messages)).execute("query-block")


def test_a_snapshot_uses_an_existing_overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(GREETING, DONE, EVENT, DONE)

    @contextmanager
    def connected(_: Path) -> Iterator[qmp.Monitor]:
        yield qmp.Monitor(stream)

    monkeypatch.setattr(qmp, "connected", connected)
    qmp.snapshot(Path("qmp"), "system", Path("/bake/disk-7.qcow2"))
    assert stream.sent[1:] == [
        {
            "execute": "blockdev-snapshot-sync",
            "arguments": {
                "device": "system",
                "snapshot-file": "/bake/disk-7.qcow2",
                "format": "qcow2",
                "mode": "existing",
            },
        }
    ]


def test_a_signal_while_qemu_quits_ends_the_command_and_an_error_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    raised: list[BakeryError] = [Interrupted(signal.SIGINT), BakeryError("QEMU does not answer.")]

    def connected(_: Path) -> None:
        raise raised.pop(0)

    monkeypatch.setattr(qmp, "connected", connected)
    monkeypatch.setattr(engine, "_EXIT_SECONDS", 0)
    with pytest.raises(Interrupted):
        engine.quit_qemu(Files(tmp_path))
    engine.quit_qemu(Files(tmp_path))
    assert not raised
