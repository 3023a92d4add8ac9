"""What the tiers share: the commands as a user runs them, and a cache kept between runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.store import Store, default_root

BIN = Path(sys.executable).parent
# A base of one's own: the TOML file of a vendor's image.
VENDOR = """
name = "mine"
title = "Mine"
family = "debian"
architecture = "x86-64"
end_of_life = 2030-01-01
login = "debian"
firmware = ["bios"]
tested = false
[image]
url = "{url}"
sha256 = "{digest}"
"""


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def command(
    name: str, *argv: str, env: Mapping[str, str] | None = None, prefix: Sequence[str] = (), stdin: str = ""
) -> Ended:
    """Run one of the console scripts to its end."""
    done = subprocess.run(
        [*prefix, str(BIN / name), *argv],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def store() -> Store:
    """The user's own cache: a base costs minutes, and using it as users do is part of the test."""
    return Store(default_root())
