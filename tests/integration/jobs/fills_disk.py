"""Writes 100 MiB to its private /tmp, then waits to be noticed."""

import time
from pathlib import Path

with Path("/tmp/filling").open("wb") as file:
    for _ in range(100):
        file.write(b"x" * (1 << 20))
time.sleep(1000)
