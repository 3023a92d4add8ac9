"""Drain a worker: it starts no job any more, and those that run may end.

A startd accepts the command from administrators of its pool: the collector gives them a key of the startd
(SEC_ENABLE_REMOTE_ADMINISTRATION). condor_drain(1) asks for that key; HTCondor's Python library, as of
25.14, does not, and is refused. So the program is used where it is installed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bakery.runtime.files import write_private
from provisioner.errors import CommandFailed, Interrupted
from provisioner.process import run

PROGRAM = "condor_drain"
_SECONDS = 60
# A graceful drain returns jobs to the pool at once where the worker grants no retirement. Workers of our
# images grant it while they drain (30-worker-jobs.config); of others, the startd refuses the command.
_KEEPS_JOBS = 'MaxJobRetirementTime > 0 || regexp("draining", unparse(MaxJobRetirementTime), "i")'
_CHECK_FAILED = "check expression"
# Without the configuration, keys and tokens of this machine.
_BY_TOKEN = {
    "CONDOR_CONFIG": "/dev/null",
    # By its broker, a worker is asked to connect to this program, which has no shared port daemon.
    "_CONDOR_USE_SHARED_PORT": "False",
    "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
    "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
    "_CONDOR_SEC_TOKEN_SYSTEM_DIRECTORY": "/nonexistent",
    "_CONDOR_SEC_TOKEN_POOL_SIGNING_KEY_FILE": "/nonexistent",
}


def drain(pool: str, worker: str, reason: str, token: str) -> str:
    """Drain a worker of this name; return why that is not possible, "" if it is draining.

    `pool` is HOST[:PORT][,HOST…]; `token` is one for ADMINISTRATOR, "" uses the configuration of this
    machine, which may be the central manager.
    """
    if not shutil.which(PROGRAM):
        return f"{PROGRAM} is not installed here"
    if not token:
        return _drain(pool, worker, reason, {})
    with tempfile.TemporaryDirectory() as folder:
        write_private(Path(folder, "token"), token.encode())
        return _drain(pool, worker, reason, {**_BY_TOKEN, "_CONDOR_SEC_TOKEN_DIRECTORY": folder})


def _drain(pool: str, worker: str, reason: str, more: Mapping[str, str]) -> str:
    host = pool.partition(",")[0]
    how = ("-graceful", "-reason", reason, "-check", _KEEPS_JOBS)
    argv = [PROGRAM, "-pool", host, *how, f"slot1@{worker}"]
    try:
        run.call(argv, env=run.environment(**more), seconds=_SECONDS)
    except Interrupted:
        raise
    except CommandFailed as error:
        if _CHECK_FAILED in error.tail:
            return "It would return its running jobs to the pool: its image is older than this command"
        lines = error.tail.strip().splitlines() or [f"{PROGRAM} failed"]
        return lines[-1].strip()
    return ""
