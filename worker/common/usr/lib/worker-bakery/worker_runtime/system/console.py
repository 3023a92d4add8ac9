"""Words for whoever looks: the journal (stderr) and the console, a cloud's only window."""

import json
import os
import sys

from worker_runtime.system import paths

CONSOLE = "/dev/console"


def log(text: str) -> None:
    """One message, on every line of which stands who speaks."""
    who = _worker_name()
    lines = "".join("%s: %s\n" % (who, line) for line in text.splitlines())
    # Bytes, because under LANG=C Python 3.6 would refuse to write anything but ASCII.
    raw = lines.encode("utf-8", "backslashreplace")
    sys.stderr.buffer.write(raw)
    sys.stderr.flush()
    _write_to_console(raw)


def _worker_name() -> str:
    # The table itself, because configuration/kind.py is of a higher layer.
    with open(os.path.join(paths.DATA, "kind.json"), encoding="utf-8") as file:
        return str(json.load(file)["name"])


def _write_to_console(raw: bytes) -> None:
    # Not blocking: a console that nobody reads must not stop the worker.
    try:
        console = os.open(CONSOLE, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_APPEND)
    except OSError:
        return  # containers have none
    try:
        os.write(console, raw)
    except OSError:
        return
    finally:
        os.close(console)
