"""A client of the QEMU Machine Protocol (QMP), to take external snapshots of a running machine's disk.

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

_TIMEOUT = 120  # seconds; QEMU answers between two requests of the guest


class Monitor:
    """A QMP connection in command mode.

    Raises BakeryError: QEMU refused a command, or closed the connection.
    """

    def __init__(self, stream: BufferedIOBase) -> None:
        self._stream = stream
        self._next("QMP")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> Any:
        """Execute a QMP command and return its result."""
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        self._stream.write(json.dumps(request).encode() + b"\n")
        self._stream.flush()
        return self._next("return", command)

    def _next(self, key: str, command: str = "") -> Any:
        """The value of `key` in the next message that has it. Asynchronous events are ignored."""
        for row in self._stream:
            message = json.loads(row)
            if "error" in message:
                raise BakeryError(f"QEMU refused {command}: {message['error']['desc']}.")
            if key in message:
                return message[key]
        raise BakeryError(f"QEMU closed the QMP connection without answering {command or 'it'}.")


@contextmanager
def connected(path: Path) -> Iterator[Monitor]:
    """Connect to the QMP socket at `path`, which may exceed the limit for socket names (108 bytes)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(f"/proc/self/fd/{folder}/{path.name}")
            with connection.makefile("rwb") as stream:
                yield Monitor(stream)
    except (OSError, ValueError) as error:
        raise BakeryError(f"The QMP socket {path} does not respond: {error}.") from None
    finally:
        os.close(folder)


def snapshot(monitor: Path, drive: str, overlay: Path) -> None:
    """Take an external snapshot: the drive writes to `overlay` (an existing qcow2) from now on.

    The overlay's backing file must be the file that the drive uses now.
    """
    with connected(monitor) as qemu:
        qemu.execute(
            "blockdev-snapshot-sync",
            device=drive,
            **{"snapshot-file": str(overlay), "format": "qcow2", "mode": "existing"},
        )
