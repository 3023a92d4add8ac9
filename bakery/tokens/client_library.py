"""HTCondor's library as a client of a collector; for child processes, because its settings are global."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

# Without the configuration, keys and tokens of this machine: with its signing key HTCondor's library would
# make a token of its own instead.
_SETTINGS = {
    "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
    "SEC_TOKEN_DIRECTORY": "/nonexistent",
    "SEC_TOKEN_SYSTEM_DIRECTORY": "/nonexistent",
    "SEC_TOKEN_POOL_SIGNING_KEY_FILE": "/nonexistent",
    "SEC_PASSWORD_DIRECTORY": "/nonexistent",
}


def load(authentication: str, more: Mapping[str, str] | None = None) -> Any:
    """Import htcondor2 with these settings; `authentication` is SEC_CLIENT_AUTHENTICATION.

    It logs its security negotiations to stderr.
    """
    os.environ["CONDOR_CONFIG"] = "/dev/null"
    import htcondor2  # type: ignore[import-untyped]  # the wheel has no types

    htcondor2.param["TOOL_DEBUG"] = "D_SECURITY D_FULLDEBUG"
    htcondor2.enable_debug("D_SECURITY D_FULLDEBUG")
    for name, value in {**_SETTINGS, "SEC_CLIENT_AUTHENTICATION": authentication, **(more or {})}.items():
        htcondor2.param[name] = value
    return htcondor2


def daemon(htcondor2: Any, address: str, security: Any = None) -> dict[str, Any] | None:
    """Return version and clock of a daemon that permits READ; None if it does not answer, or denies it.

    {"version": "$CondorVersion: 23.9.6 …", "ahead": 0}; `ahead` is by how many seconds at least its clock
    is ahead of ours, negative if it is behind, None if unknown.
    """
    return ping(htcondor2, address, "READ", security)[1]


def ping(htcondor2: Any, address: str, level: str, security: Any) -> tuple[Any, dict[str, Any] | None]:
    """Ask whether an authorization level is permitted; return the answer's ad, and `daemon`'s answer.

    Both are None if the daemon does not answer, or denies it.
    """
    before = time.time()
    try:
        ad = htcondor2.ping(address, level, security)
    except htcondor2.HTCondorException:
        return None, None
    found = ahead(str(ad.get("Sid", "")), before, time.time())
    return ad, {"version": str(ad.get("RemoteVersion", "")), "ahead": found}


def ahead(session: str, before: float, after: float) -> float | None:
    """Return by how many seconds at least the clock of the daemon that made a session is ahead of ours.

    The ID of a new session is HOST:PID:TIME:NUMBER (daemon_command.cpp, 23.9 and 25.14). `before` and
    `after` are our times before the request and after the reply.
    """
    found = re.search(r":(\d{9,12}):\d+$", session)
    if not found:
        return None
    its = float(found[1])  # in whole seconds: it may be up to one more
    return max(0.0, its - after) + min(0.0, its + 1 - before)
