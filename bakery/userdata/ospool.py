"""What the OSPool requires of every job, and the attributes that its workers advertise.

Both are read from worker/ospool, the files of an image that is baked with `--with ospool`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache

from bakery.runtime.data import WORKER

CONFIG = WORKER / "ospool" / "etc" / "condor" / "config.d" / "50-worker-ospool.config"
FACTS = WORKER / "ospool" / "usr" / "lib" / "worker-bakery" / "ospool.json"
_GUARD = re.compile(r"^WORKER_POOL_GUARD_(\w+) = (.*)$", re.MULTILINE)
_MANAGERS = re.compile(r"(cm-[0-9]\.ospool\.osg-htc|flock\.opensciencegrid)\.org\b", re.IGNORECASE)


@cache
def guards() -> Mapping[str, str]:
    """Return the expression of each pool guard by the last word of the name of its macro."""
    return dict(_GUARD.findall(CONFIG.read_text("utf-8")))


@cache
def attributes() -> frozenset[str]:
    """Return the attributes of the CVMFS repositories; samples.py has all others."""
    names = [re.sub(r"[.-]", "_", name) for name in json.loads(FACTS.read_text("utf-8"))["cvmfs"]]
    suffixes = ("REVISION", "NIOERR", "LAST_IOERR")
    more = {f"CVMFS_{name}_{suffix}" for name in names for suffix in suffixes}
    return frozenset({f"HAS_CVMFS_{name}" for name in names} | more)


def is_pool(managers: str) -> bool:
    """Return whether these central managers, as in CentralManager, are of the production OSPool."""
    return bool(_MANAGERS.search(managers))
