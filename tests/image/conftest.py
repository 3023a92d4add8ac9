"""What every worker image must be. `host` is testinfra's: a mounted root, or a machine over ssh."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def kind(host: Any) -> dict[str, Any]:
    """What kind of worker it is: `name` of its units and files, `file` that its user writes."""
    folder = "/usr/lib/worker-bakery"
    told, table = (
        json.loads(host.file(f"{folder}/{file}.json").content_string) for file in ("kind", "keys")
    )
    return {**told, "file": table["file"]}


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What the booted machine was told in its user-data; from a 0600 file, for it holds the token."""
    told: dict[str, Any] = json.loads(Path(os.environ["WORKER_EXPECTED"]).read_text())
    return told
