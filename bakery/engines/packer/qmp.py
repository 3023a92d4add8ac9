"""QEMU's monitor: a running machine's disk gets a new layer, and what was written so far stands still.

Source: the QEMU Machine Protocol Specification, and blockdev-snapshot-sync in QEMU's QMP reference.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from provisioner.errors import BakeryError

_TIMEOUT = 120  # seconds; QEMU answers between two of the guest's requests


class Monitor:
    """A connection that is greeted and takes commands. Raises BakeryError, also if QEMU says no more."""

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._next("QMP")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """What the command returns."""
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._stream.write(json.dumps(request).encode() + b"\n")
        self._stream.flush()
        return self._next("return", command)

    def _next(self, key: str, command: str = "") -> Any:
        """The next message that is no event, of which QEMU sends one whenever it likes."""
        for row in self._stream:
            message = json.loads(row)
            if "error" in message:
                raise BakeryError(f"QEMU refused {command}: {message['error']['desc']}.")
            if key in message:
                return message[key]
        raise BakeryError(f"QEMU's monitor ended without an answer to {command or 'the connection'}.")


@contextmanager
def connected(path: Path) -> Iterator[Monitor]:
    """To the socket of that name; it may be longer than sockets' names can be (108 bytes)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
            with connection.makefile("rwb") as stream:
                yield Monitor(stream)
    except (OSError, ValueError) as error:
        raise BakeryError(f"QEMU's monitor {path} does not answer: {error}.") from None
    finally:
        os.close(folder)


def snapshot(monitor: Path, drive: str, overlay: Path) -> None:
    """From now on the drive writes to `layer`, a qcow2 over what the drive has; that is only read."""
    with connected(monitor) as qemu:
        qemu.execute(
            "blockdev-snapshot-sync",
            device=drive,
            **{"snapshot-file": str(overlay), "format": "qcow2", "mode": "existing"},
        )
