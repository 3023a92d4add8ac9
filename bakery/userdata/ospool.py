"""What holds in the OSPool for every job, and what its workers say of themselves: read from worker/ospool.

The one table of both is what goes into an image that is baked --with ospool.
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
    """What each demands of jobs, by the last word of its macro's name."""
    return dict(_GUARD.findall(CONFIG.read_text("utf-8")))


@cache
def attributes() -> frozenset[str]:
    """Those of the CVMFS repositories; the others are in samples.py."""
    names = [re.sub(r"[.-]", "_", name) for name in json.loads(FACTS.read_text("utf-8"))["cvmfs"]]
    told = ("REVISION", "NIOERR", "LAST_IOERR")
    more = {f"CVMFS_{name}_{what}" for name in names for what in told}
    return frozenset({f"HAS_CVMFS_{name}" for name in names} | more)


def is_pool(managers: str) -> bool:
    """Do these central managers, as CentralManager has them, belong to the production OSPool?"""
    return bool(_MANAGERS.search(managers))
