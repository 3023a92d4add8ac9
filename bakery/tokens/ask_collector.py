"""Ask a collector what a token may do there: a program with JSON on stdin and stdout, its log on stderr.

HTCondor's library holds the interpreter's lock, keeps sessions and reads the configuration of the machine:
none of that belongs into the process of a command. Its exceptions have no reason; its log on stderr does.

    {"address": "<HOST:PORT>", "token": "…", "level": "ADVERTISE_STARTD"}  ->
    {"authorized": true, "identity": "worker@cloud", "version": "…", "collector": true, "time": 1800000000}
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bakery.tokens import client_library


def main() -> None:
    asked = json.loads(sys.stdin.read())
    htcondor2 = client_library.load("REQUIRED")
    answer = _ping(htcondor2, asked)
    print("---", file=sys.stderr, flush=True)  # the log of the query follows
    # Anybody may read who the collector is, as a rule; the token need not allow it.
    htcondor2.param["SEC_CLIENT_AUTHENTICATION"] = "OPTIONAL"
    print(json.dumps(answer | _collector(htcondor2, asked["address"])))


def _ping(htcondor2: Any, asked: dict[str, str]) -> dict[str, Any]:
    try:
        ad = htcondor2.ping(
            asked["address"], asked["level"], htcondor2.SecurityContext(token=asked["token"])
        )
    except htcondor2.HTCondorException:
        return {"authorized": False}
    return {
        "authorized": bool(ad.get("AuthorizationSucceeded")),
        "identity": str(ad.get("MyRemoteUserName", "")),
        "version": str(ad.get("RemoteVersion", "")),
    }


def _collector(htcondor2: Any, address: str) -> dict[str, Any]:
    try:
        found = htcondor2.Collector(address).query(
            htcondor2.AdType.Collector, projection=["CondorVersion", "MyCurrentTime"]
        )
    except htcondor2.HTCondorException:
        return {"collector": False}
    ads = [{"version": str(ad.get("CondorVersion", "")), "time": ad.get("MyCurrentTime")} for ad in found]
    # It answered the query; right after a reconfiguration a collector has no ClassAd of its own.
    return {"collector": True, **(ads[0] if ads else {})}


if __name__ == "__main__":
    main()
