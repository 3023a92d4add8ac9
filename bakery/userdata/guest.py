"""Read and check the worker's file with the code of the guest itself.

Nothing is generated here that a worker would reject. The code is imported from the folder of files that
go into an image; that folder is appended to sys.path when it is first needed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.runtime.data import WORKER

if TYPE_CHECKING:
    from worker_runtime.configuration.kind import Kind
    from worker_runtime.configuration.worker_file import WorkerConfig

_FOLDER = str(WORKER / "common" / "usr" / "lib" / "worker-bakery")
POOLS = WORKER / "common" / "usr" / "lib" / "worker-bakery" / "pools.json"


def problem_with(kind: str, value: str) -> str | None:
    """Return what the worker reports for a value of this kind, to follow the key; None if it is valid."""
    _add_to_path()
    from worker_runtime.configuration import values

    return values.problem_with(kind, value)


def read(raw: bytes, kind: str = "osg") -> WorkerConfig:
    """Parse the file as the worker does."""
    _add_to_path()
    from worker_runtime.configuration import worker_file

    worker_kind = kind_of(kind)
    return worker_file.parse(raw, worker_kind.keys, worker_kind.form)


def job_requirements(raw: bytes, kind: str) -> str:
    """Return the expression that a job must fulfil on the worker with this file."""
    worker_kind, read_values = kind_of(kind), read(raw, kind).values
    from worker_runtime.configuration import condor_config

    return condor_config.requirements(worker_kind, read_values)


def trust_domain(values: Mapping[str, str], kind: str) -> str:
    """Return the trust domain of the pool that a worker with these values joins; "" if it is unknown."""
    worker_kind = kind_of(kind)
    from worker_runtime.configuration import servers

    return servers.trust_domain(worker_kind.pools, values)


@cache
def _add_to_path() -> None:
    if _FOLDER not in sys.path:
        sys.path.append(_FOLDER)


def value_of(kind: str, text: str) -> str:
    """Return the value of a key from its text in the worker's file; "" if the worker rejects it."""
    worker_kind = kind_of(kind)
    from worker_runtime.configuration import worker_file

    return worker_file.parse_value(text, worker_kind.form) or ""


def table_file(kind: str) -> Path:
    """Return the path of the table of keys (keys.json) of a kind of worker."""
    return _folder(kind) / "keys.json"


def _folder(kind: str) -> Path:
    return WORKER / kind / "usr" / "lib" / "worker-bakery"


@cache
def kind_of(name: str) -> Kind:
    """Return a kind of worker as its runtime reads it."""
    import json

    _add_to_path()
    from worker_runtime.configuration import kind

    files = (_folder(name) / "kind.json", table_file(name), POOLS)
    description, table, pools = (json.loads(file.read_text("utf-8")) for file in files)
    return kind.from_tables(description, table, pools)
