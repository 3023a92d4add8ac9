"""Query the slots of a collector: a program with JSON on stdin and stdout, its log on stderr.

A process of its own for the reasons in bakery/tokens/ask_collector.py.

    {"address": "<HOST:PORT>", "token": "…" or "", "constraint": "…", "projection": ["Name", …]}  ->
    {"ads": [{"Name": "slot1@worker", "Start": {"expression": "…", "error": false}, …}]}
    or {"failed": "query"}; "constraint" if the constraint is not a ClassAd expression; "collector" if the
    daemon is not a collector

Undefined attributes are left out. A literal `error` has its text as an expression.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from bakery.tokens import client_library


def main() -> None:
    asked = json.loads(sys.stdin.read())
    # Without a token the query is anonymous, which most pools permit.
    authentication = "REQUIRED" if asked["token"] else "OPTIONAL"
    htcondor2 = client_library.load(authentication, {"QUERY_TIMEOUT": "30"})
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

    try:
        classad2.ExprTree(asked["constraint"])
    except classad2.ClassAdException:
        print(json.dumps({"failed": "constraint"}))
        return
    print(json.dumps(_query(htcondor2, classad2, asked)))


def _query(htcondor2: Any, classad2: Any, asked: dict[str, Any]) -> dict[str, Any]:
    security = htcondor2.SecurityContext(token=asked["token"]) if asked["token"] else None
    names = asked["projection"]
    try:
        collector = htcondor2.Collector(asked["address"], security)
        found = collector.query(htcondor2.AdType.Startd, asked["constraint"], names)
    except htcondor2.HTCondorException:
        return {"failed": "query"}
    if not found and not _is_collector(htcondor2, collector):
        return {"failed": "collector"}
    return {"ads": [_encoded(classad2, ad, names) for ad in found]}


def _is_collector(htcondor2: Any, collector: Any) -> bool:
    """Whether it answers a query for collectors; a schedd answers one for slots too, with none."""
    try:
        collector.query(htcondor2.AdType.Collector, projection=["Name"])
    except htcondor2.HTCondorException:
        return False
    return True


def _encoded(classad2: Any, ad: Any, names: list[str]) -> dict[str, Any]:
    values = {name: _value(classad2, ad, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _value(classad2: Any, ad: Any, name: str) -> Any:
    try:
        value = ad.get(name)
    except UnicodeDecodeError:
        return "\ufffd"
    if value is classad2.Value.Undefined:
        # condor_status prints nothing else for it; Start alone must tell it from a missing attribute.
        return {"expression": "undefined", "error": False} if name == "Start" else None
    if value is classad2.Value.Error:
        return {"expression": "error", "error": True}
    if isinstance(value, classad2.ExprTree):
        return {"expression": _text(classad2, value), "error": value.eval(ad) is classad2.Value.Error}
    return value if isinstance(value, (str, bool, int, float)) else None


def _text(classad2: Any, tree: Any) -> str:
    """The expression as condor_status prints it: with =?=, where str() has `is`."""
    text: str = classad2.ClassAd({"x": tree}).printOld()
    return text.strip().removeprefix("x = ")


if __name__ == "__main__":
    main()
