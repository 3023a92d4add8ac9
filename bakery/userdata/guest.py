"""The guest's own rules, the very code that reads the file on a worker.

So nothing is generated here that a worker would refuse there. It is imported from the folder of
files that go into an image; that folder comes last in the search, and is added only when needed.
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
    """What the worker has against a value of this kind, to be put behind its key."""
    _reachable()
    from worker_runtime.configuration import values

    return values.problem_with(kind, value)


def read(raw: bytes, kind: str = "osg") -> WorkerConfig:
    """The file as the worker reads it."""
    _reachable()
    from worker_runtime.configuration import worker_file

    mine = kind_of(kind)
    return worker_file.parse(raw, mine.keys, mine.form)


def wanted(raw: bytes, kind: str) -> str:
    """What the worker with this file demands of jobs, as one expression."""
    mine, read_values = kind_of(kind), read(raw, kind).values
    from worker_runtime.configuration import condor_config

    return condor_config.requirements(mine, read_values)


def trust_domain(values: Mapping[str, str], kind: str) -> str:
    """Who issues the tokens of the pool that a worker with these values joins; "" if it does not know."""
    mine = kind_of(kind)
    from worker_runtime.configuration import servers

    return servers.trust_domain(mine.pools, values)


@cache
def _reachable() -> None:
    if _FOLDER not in sys.path:
        sys.path.append(_FOLDER)


def value_of(kind: str, text: str) -> str:
    """The value that stands so in the worker's file; "" if the worker would refuse it."""
    mine = kind_of(kind)
    from worker_runtime.configuration import worker_file

    return worker_file.parse_value(text, mine.form) or ""


def table_file(kind: str) -> Path:
    """The table of a kind's keys."""
    return _folder(kind) / "keys.json"


def _folder(kind: str) -> Path:
    return WORKER / kind / "usr" / "lib" / "worker-bakery"


@cache
def kind_of(name: str) -> Kind:
    """A kind of worker as its own runtime knows it."""
    import json

    _reachable()
    from worker_runtime.configuration import kind

    files = (_folder(name) / "kind.json", table_file(name), POOLS)
    told, table, pools = (json.loads(file.read_text("utf-8")) for file in files)
    return kind.from_tables(told, table, pools)
