"""The watch, asked how the worker is: it looks at once, and answers with what it has seen.

A Unix socket in RUN. To connect is to ask; the answer is what status.data() makes, as JSON, and the end.
The socket's mode lets only root connect (of `worker run --user`: that user, to whom all his jobs
belong), so no job can keep the watch looking. One look answers all who asked before it began.
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
# How many wait to be taken in, and how many are answered by one look.
_BACKLOG, _MAX_REQUESTS = 16, 64
_SEND_SECONDS = 1  # an answer is far smaller than a socket's buffer
_POLL_SECONDS = 1.0  # seconds between two glances at files that a look would be for


class NoAnswer(Exception):
    """Why there is no answer, in words."""


class NotRunning(NoAnswer):
    """Nobody listens."""


class NotPermitted(NoAnswer):
    """Only root may ask."""


class TimedOut(NoAnswer):
    """It did not answer in time."""


class StatusServer:
    """Where the watch is asked, and where it waits."""

    def __init__(self) -> None:
        self._listening = _listen()
        self._asking: List[socket.socket] = []

    def fileno(self) -> int:
        return self._listening.fileno()

    def wait(
        self, seconds: float, glance: Callable[[], object], before: object, others: Sequence[int] = ()
    ) -> None:
        """Until somebody asks, `glance` gives something else than `before`, one of the `others` (file
        descriptors) can be read, or `seconds` are over. Who asked so far is answered by the next look."""
        end = time.monotonic() + seconds
        while glance() == before:
            left = end - time.monotonic()
            if select.select([self, *others], [], [], max(0.0, min(_POLL_SECONDS, left)))[0] or left <= 0:
                break
        self._take_in()

    def _take_in(self) -> None:
        while len(self._asking) < _MAX_REQUESTS:
            try:
                self._asking.append(self._listening.accept()[0])
            except OSError:  # nobody more; or gone again, which select() could not know
                return

    @property
    def has_requests(self) -> bool:
        """Does somebody wait for the next look?"""
        return bool(self._asking)

    def answer(self, text: bytes) -> None:
        """To all who asked before the look; who went away meanwhile is told nothing."""
        for asking in self._asking:
            with asking, contextlib.suppress(OSError):
                asking.settimeout(_SEND_SECONDS)
                asking.sendall(text)
        self._asking = []


def _listen() -> socket.socket:
    """At ADDRESS once it can be asked, whatever a watch before us left there."""
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
    """The same by a path that fits a socket's address: 107 bytes, and a user's folder may be deep."""
    folder, name = os.path.split(path)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield "/proc/self/fd/%d/%s" % (opened, name)
    finally:
        os.close(opened)


def request(seconds: float) -> Dict[str, Any]:
    """What the watch says of the worker now. Raises Unanswered."""
    end = time.monotonic() + seconds
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            asked.settimeout(seconds)
            with _short_path(SOCKET) as path:
                asked.connect(path)
            said = _receive_all(asked, end)
    except PermissionError:
        raise NotPermitted("only root may ask the watch") from None
    except (socket.timeout, BlockingIOError):
        raise TimedOut("the watch did not answer within %d s" % seconds) from None
    except OSError:
        raise NotRunning("the watch does not run") from None
    if not said:
        raise NotRunning("the watch ended before it answered")
    found: Dict[str, Any] = json.loads(said.decode("ascii"))
    return found


def _receive_all(asked: socket.socket, end: float) -> bytes:
    said = b""
    while True:
        asked.settimeout(max(0.001, end - time.monotonic()))
        more = asked.recv(65536)
        if not more:
            return said
        said += more


def wake_watch() -> None:
    """Have the watch look at once, without waiting for that; where it does not run, it will look anyway."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.setblocking(False)
        with _short_path(SOCKET) as path:
            asked.connect(path)
