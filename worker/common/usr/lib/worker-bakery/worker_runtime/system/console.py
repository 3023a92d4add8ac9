"""Logs messages to the journal (stderr) and to the console, which may be all that a cloud shows."""

import json
import os
import sys

from worker_runtime.system import paths

CONSOLE = "/dev/console"


def log(text: str) -> None:
    """Write one message; each of its lines starts with the name of the worker's kind."""
    name = _worker_name()
    lines = "".join("%s: %s\n" % (name, line) for line in text.splitlines())
    # As bytes, because Python 3.6 writes only ASCII text under LANG=C.
    raw = lines.encode("utf-8", "backslashreplace")
    sys.stderr.buffer.write(raw)
    sys.stderr.flush()
    _write_to_console(raw)


def _worker_name() -> str:
    # Read here, because configuration/kind.py belongs to a higher layer.
    with open(os.path.join(paths.DATA, "kind.json"), encoding="utf-8") as file:
        return str(json.load(file)["name"])


def _write_to_console(raw: bytes) -> None:
    # Non-blocking, because a console that nobody reads must not stop the worker.
    try:
        console = os.open(CONSOLE, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_APPEND)
    except OSError:
        return  # containers have no console
    try:
        os.write(console, raw)
    except OSError:
        return
    finally:
        os.close(console)
