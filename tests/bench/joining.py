"""Workers that join a collector: each a connection of its own, authenticated with a token, and one ad.

    python -m tests.bench.joining FOLDER COLLECTOR NUMBER FIRST

FOLDER is one of tokens (SEC_TOKEN_DIRECTORY). A worker is a fork of this process, which has no session with
the collector yet. Prints the seconds of each join as JSON, null for one that failed. scripts/bench scale
starts it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from typing import Any

from bakery.tokens import client_library


def main(folder: str, collector: str, number: int, first: int) -> None:
    htcondor2 = client_library.load("REQUIRED")
    settings = {
        "SEC_TOKEN_DIRECTORY": folder,
        "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
    }
    for name, value in settings.items():
        htcondor2.param[name] = value
    took: list[float | None] = []
    for place in range(first, first + number):
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _join(htcondor2, collector, place)
        _, status = os.waitpid(pid, 0)
        took.append(round(time.monotonic() - started, 4) if status == 0 else None)
    print(json.dumps(took))


def _join(htcondor2: Any, collector: str, place: int) -> None:
    """Advertise one slot, and exit; never returns."""
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

    status = 1
    with suppress(Exception):  # the parent counts it
        ad = classad2.ClassAd(
            {
                "MyType": "Machine",
                "Name": f"slot1@joining-{place}",
                "Machine": f"joining-{place}",
                "MyAddress": f"<127.0.0.1:1?sock=joining-{place}>",
                "State": "Unclaimed",
                "Activity": "Idle",
            }
        )
        htcondor2.Collector(collector).advertise([ad], "UPDATE_STARTD_AD", True)
        status = 0
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
