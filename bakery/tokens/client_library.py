"""HTCondor's library as a client of a collector; for child processes, because its settings are global."""

from __future__ import annotations

import os
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
