"""Ask a collector what a token may do there: a program with JSON on stdin and stdout, its log on stderr.

HTCondor's library holds the interpreter's lock, keeps sessions and reads the configuration of the machine:
none of that belongs into the process of a command. Its exceptions have no reason; its log on stderr does.

    {"address": "<HOST:PORT>", "token": "…", "levels": ["ADVERTISE_STARTD", …]}  ->
    {"levels": [{"authorized": true, "identity": "worker@cloud"}, …], "collector": true,
     "version": "$CondorVersion: …", "ahead": 0}

`ahead` is as in bakery/tokens/client_library.py. In the log, a line `---` follows each level.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bakery.tokens import client_library


def main() -> None:
    asked = json.loads(sys.stdin.read())
    htcondor2 = client_library.load("REQUIRED")
    levels = [_ping(htcondor2, asked, level) for level in asked["levels"]]
    # Anybody may read who the collector is, as a rule; the token need not allow it.
    htcondor2.param["SEC_CLIENT_AUTHENTICATION"] = "OPTIONAL"
    answers = [answer for answer, _ in levels]
    daemons = [daemon for _, daemon in levels if daemon]
    found = client_library.daemon(htcondor2, asked["address"]) or (daemons[0] if daemons else {})
    print(json.dumps({"levels": answers, "collector": _is_collector(htcondor2, asked["address"]), **found}))


def _ping(
    htcondor2: Any, asked: dict[str, Any], level: str
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The answer for a level, and what the daemon says about itself."""
    security = htcondor2.SecurityContext(token=asked["token"])
    ad, daemon = client_library.ping(htcondor2, asked["address"], level, security)
    print("---", file=sys.stderr, flush=True)
    if ad is None:
        return {"authorized": False}, None
    identity = str(ad.get("MyRemoteUserName", ""))
    return {"authorized": bool(ad.get("AuthorizationSucceeded")), "identity": identity}, daemon


def _is_collector(htcondor2: Any, address: str) -> bool:
    try:
        htcondor2.Collector(address).query(htcondor2.AdType.Collector, projection=["Name"])
    except htcondor2.HTCondorException:
        return False
    # It answered the query; right after a reconfiguration a collector has no ClassAd of its own.
    return True


if __name__ == "__main__":
    main()
