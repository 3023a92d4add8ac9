"""The Unix socket by which the watch answers requests for the current state of the worker.

Connecting is the request; the answer is the JSON of lifecycle/report.py, followed by the end of the stream.
The mode of the socket lets only root connect (in user mode, only that user, who owns all jobs as well), so
no job can keep the watch busy. One inspection answers all requests that arrived before it began.
"""

import contextlib
import json
import os
import select
import socket
import time
from typing import Any, Callable, Dict, Iterator, List, Sequence

from worker_runtime.system import paths

SOCKET = paths.RUN + "/status.socket"
# The backlog of the socket, and the number of requests that one inspection answers.
_BACKLOG, _MAX_REQUESTS = 16, 64
_SEND_SECONDS = 1  # an answer is far smaller than the buffer of a socket
_POLL_SECONDS = 1.0  # interval at which `current` is evaluated


class NoAnswer(Exception):
    """Why there is no answer, in words."""


class NotRunning(NoAnswer):
    """Nothing listens on the socket."""


class NotPermitted(NoAnswer):
    """Only root may ask."""


class TimedOut(NoAnswer):
    """The watch did not answer within the time limit."""


class StatusServer:
    """The listening end: where the watch waits for requests and answers them."""

    def __init__(self) -> None:
        self._listening = _listen()
        self._clients: List[socket.socket] = []

    def fileno(self) -> int:
        return self._listening.fileno()

    def wait(
        self, seconds: float, current: Callable[[], object], before: object, others: Sequence[int] = ()
    ) -> None:
        """Wait for a request, a change, or the end of a time limit of `seconds`.

        It ends when a client connects, when `current()` differs from `before`, or when one of the file
        descriptors `others` is readable. The next answer goes to all clients accepted so far.
        """
        end = time.monotonic() + seconds
        readable: List[Any] = [self, *others]
        while current() == before:
            left = end - time.monotonic()
            if select.select(readable, [], [], max(0.0, min(_POLL_SECONDS, left)))[0] or left <= 0:
                break
        self.accept()

    def accept(self) -> None:
        """Accept the clients that have connected."""
        while len(self._clients) < _MAX_REQUESTS:
            try:
                self._clients.append(self._listening.accept()[0])
            except OSError:  # no further client, or it has disconnected since select()
                return

    @property
    def has_requests(self) -> bool:
        """Whether a client waits for the next inspection."""
        return bool(self._clients)

    def answer(self, text: bytes) -> None:
        """Send the answer to all waiting clients; clients that have disconnected are ignored."""
        for client in self._clients:
            with client, contextlib.suppress(OSError):
                client.settimeout(_SEND_SECONDS)
                client.sendall(text)
        self._clients = []


def _listen() -> socket.socket:
    """Listen at SOCKET, replacing the socket of an earlier watch as soon as this one is ready."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.setblocking(False)
    unready = "%s.%d" % (SOCKET, os.getpid())
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unready)
        with _short_path(unready) as path:
            listening.bind(path)
    finally:
        os.umask(before)
    listening.listen(_BACKLOG)
    os.rename(unready, SOCKET)
    return listening


@contextlib.contextmanager
def _short_path(path: str) -> Iterator[str]:
    """A path to the same file that fits into the 107 bytes of a socket address."""
    folder, name = os.path.split(path)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield "/proc/self/fd/%d/%s" % (opened, name)
    finally:
        os.close(opened)


def request(seconds: float) -> Dict[str, Any]:
    """The current state as the watch reports it. Raises NoAnswer."""
    end = time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(seconds)
            with _short_path(SOCKET) as path:
                asked.connect(path)
            received = _receive_all(asked, end)
    except PermissionError:
        raise NotPermitted("only root may ask the watch") from None
    except (socket.timeout, BlockingIOError):
        raise TimedOut("the watch did not answer within %d s" % seconds) from None
    except OSError:
        raise NotRunning("the watch does not run") from None
    if not received:
        raise NotRunning("the watch ended before it answered")
    found: Dict[str, Any] = json.loads(received.decode("ascii"))
    return found


def _receive_all(asked: socket.socket, end: float) -> bytes:
    received = b""
    while True:
        asked.settimeout(max(0.001, end - time.monotonic()))
        more = asked.recv(65536)
        if not more:
            return received
        received += more


def wake_watch() -> None:
    """Make the watch inspect the worker now, without waiting; no error if it does not run."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.setblocking(False)
        with _short_path(SOCKET) as path:
            asked.connect(path)
