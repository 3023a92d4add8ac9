"""Query a pool for a job and the slots of workers: a program with JSON on stdin and stdout.

A process of its own for the reasons in bakery/tokens/ask_collector.py. Its log is on stderr.

    {"address": "<HOST:PORT>", "token": "…" or "", "constraint": "…", "projection": ["Name", …],
     "schedd": "NAME" or null, "here": "this host's name", "job": [cluster, proc or null] or null,
     "ad": {…} or null}  ->
    {"job": {…}, "states": {"1": 7}, "schedd": "NAME", "slots": [{…}], "negotiator": "version" or "",
     "access_points": ["NAME", …]}
    or {"failed": "query"}; "constraint", "collector" as in bakery/status/ask_ads.py; "schedds" with
    "names" if none has the name, or there are several; "schedd" if it does not answer; "job" if it has no
    such job

`states` counts the jobs of the cluster by JobStatus. Ads are as in bakery/status/why/ads.py. The slots
have the attributes of `projection`, those of the job's expressions, and all to which these refer.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from bakery.status.why import ads
from bakery.tokens import client_library

_ROUNDS = 6  # of references of references
_IDLE = 1


class _Failed(Exception):
    """There is no answer; the argument is printed."""


def main() -> None:
    asked = json.loads(sys.stdin.read())
    # Without a token the query is anonymous, which most pools permit.
    authentication = "REQUIRED" if asked["token"] else "OPTIONAL"
    htcondor2 = client_library.load(authentication, {"QUERY_TIMEOUT": "30"})
    try:
        answer = _Pool(htcondor2, asked).answer()
    except _Failed as failed:
        answer = failed.args[0]
    print(json.dumps(answer))


class _Pool:
    """The collector that is asked, and the question."""

    def __init__(self, htcondor2: Any, asked: dict[str, Any]) -> None:
        import classad2  # type: ignore[import-untyped]  # the wheel has no types

        self._htcondor, self._classad, self._asked = htcondor2, classad2, asked
        try:
            classad2.ExprTree(asked["constraint"])
        except classad2.ClassAdException:
            raise _Failed({"failed": "constraint"}) from None
        security = htcondor2.SecurityContext(token=asked["token"]) if asked["token"] else None
        try:
            self._collector = htcondor2.Collector(asked["address"], security)
        except htcondor2.HTCondorException:
            raise _Failed({"failed": "query"}) from None

    def answer(self) -> dict[str, Any]:
        # As ask_ads does: a collector that denies READ denies both, another daemon answers the first one.
        if not self._query("Startd", self._asked["constraint"], ["Name"]):
            self._require_collector()
        found = {"job": self._asked["ad"]} if self._asked["ad"] else self._of_schedd()
        return {**found, **self._pool(), "slots": self._slots(found["job"])}

    def _require_collector(self) -> None:
        try:
            self._collector.query(self._htcondor.AdType.Collector, None, ["Name"])
        except self._htcondor.HTCondorException:
            raise _Failed({"failed": "collector"}) from None

    def _query(self, kind: str, constraint: str | None, names: list[str]) -> list[dict[str, Any]]:
        try:
            found = self._collector.query(getattr(self._htcondor.AdType, kind), constraint, names)
        except self._htcondor.HTCondorException:
            raise _Failed({"failed": "query"}) from None
        return [ads.encoded(self._classad, ad, names) for ad in found]

    def _pool(self) -> dict[str, Any]:
        """A schedd that flocks to this pool sends its submitters only."""
        negotiators = self._query("Negotiator", None, ["CondorVersion"])
        submitters = self._query("Submitter", None, ["ScheddName"])
        schedds = self._query("Schedd", None, ["Name"])
        names = [ad.get("ScheddName") for ad in submitters] + [ad.get("Name") for ad in schedds]
        return {
            "negotiator": next((str(ad.get("CondorVersion", "?")) for ad in negotiators), ""),
            "access_points": sorted({name for name in names if isinstance(name, str)}),
        }

    def _of_schedd(self) -> dict[str, Any]:
        """The job, from the queue or the history of its schedd."""
        name, schedd = self._schedd()
        self._htcondor.param["SEC_CLIENT_AUTHENTICATION"] = "OPTIONAL"  # only collectors get the token
        cluster, proc = self._asked["job"]
        wanted = f"ClusterId == {cluster}" + ("" if proc is None else f" && ProcId == {proc}")
        try:
            rows = list(schedd.query(wanted, ["ProcId", "JobStatus"]))
            first = min(rows, key=lambda row: (row["JobStatus"] != _IDLE, row["ProcId"]), default=None)
            one = f"ClusterId == {cluster} && ProcId == {first['ProcId']}" if first else ""
            jobs = list(schedd.query(one)) if first else list(schedd.history(wanted, [], match=1))
        except self._htcondor.HTCondorException:
            raise _Failed({"failed": "schedd", "names": [name]}) from None
        if not jobs:
            raise _Failed({"failed": "job", "names": [name]})
        states = Counter(str(row["JobStatus"]) for row in rows)
        return {"job": ads.encoded(self._classad, jobs[0]), "states": states, "schedd": name}

    def _schedd(self) -> tuple[str, Any]:
        """The schedd with the name, that of this host, or the only one of the pool."""
        found = self._collector_ads()
        names = {str(ad.get("Name", "")): ad for ad in found}
        wanted, here = self._asked["schedd"], self._asked["here"]
        chosen = wanted or next((name for name in names if here and here in (name, _host(name))), None)
        if not chosen and len(names) == 1:
            chosen = next(iter(names))
        if chosen not in names:
            raise _Failed({"failed": "schedds", "names": sorted(names)})
        return chosen, self._htcondor.Schedd(names[chosen])

    def _collector_ads(self) -> list[Any]:
        try:
            found = self._collector.query(
                self._htcondor.AdType.Schedd, None, ["Name", "MyAddress", "CondorVersion"]
            )
        except self._htcondor.HTCondorException:
            raise _Failed({"failed": "query"}) from None
        return [ad for ad in found if "MyAddress" in ad and "CondorVersion" in ad]

    def _slots(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        """The slots with all attributes that matter; each query can show that more do."""
        base = [*self._asked["projection"], "Requirements"]
        names = ads.names_in([job], base)
        for _ in range(_ROUNDS):
            projection = [name for name in names.values() if name.isascii() and name.isidentifier()]
            slots = self._query("Startd", self._asked["constraint"], projection)
            more = ads.names_in([job, *slots], base)
            if more.keys() <= names.keys():
                break
            names = more
        return slots


def _host(name: str) -> str:
    return name.partition(".")[0]


if __name__ == "__main__":
    main()
