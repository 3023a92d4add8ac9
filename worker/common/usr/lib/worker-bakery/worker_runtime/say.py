"""Words for whoever looks: the journal (stderr) and the console, a cloud's only window."""

import os
import sys

from worker_runtime import kind

CONSOLE = "/dev/console"


def say(text: str) -> None:
    """One message, on every line of which stands who speaks."""
    who = kind.here().name
    lines = "".join("%s: %s\n" % (who, line) for line in text.splitlines())
    # Bytes, because under LANG=C Python 3.6 would refuse to write anything but ASCII.
    raw = lines.encode("utf-8", "backslashreplace")
    sys.stderr.buffer.write(raw)
    sys.stderr.flush()
    _on_console(raw)


def _on_console(raw: bytes) -> None:
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
