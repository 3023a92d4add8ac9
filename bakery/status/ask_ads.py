"""Query the slots of a collector: a program with JSON on stdin, and lines of JSON on stdout.

A process of its own for the reasons in bakery/tokens/ask_collector.py. Its log is on stderr.

    {"address": "<HOST:PORT>", "token": "…" or "", "constraint": "…", "projection": ["Name", …],
     "of_dynamic": ["Name", …], "limit": 30000}  ->
    {"version": "$CondorVersion: …", "ahead": 0, "up": 86400}, then for each part of the slots one or
    several of
    {"part": 0, "ads": [{"Name": "slot1@worker", …}, …],
     "others": [[0, "Start", {"expression": "…", "error": false}]]}
    and {"part": 0, "ends": true}
    or {"failed": "query"}; "constraint" if the constraint is not a ClassAd expression; "collector" if the
    daemon is not a collector

`up` is for how many seconds the collector runs, null if unknown.
`others` has the values that JSON has no type for: the place of the ad in this line, the name, and the
value, or null if the attribute is to be left out. A literal `error` has its text as an expression.

HTCondor's library returns all ads of a query at once. Of a large answer, ranges of Machine are therefore
queried one after the other, so that the memory does not grow with the pool; all slots of a startd have
the same Machine. With two processors, two processes divide the ranges: the collector answers each query in
a process of its own, too. The lines of two parts then alternate. Dynamic slots are most of the ads, and
repeat what the partitionable slot has: in a large answer they have the attributes `of_dynamic` only.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bakery.status import ranges
from bakery.tokens import client_library

_LINE = 1000  # ads
# Of an ad as JSON, the lines whose value is undefined, a list, another ad or an expression.
_OTHER = re.compile(r'^  "([^"]+)": (?:null|\[|\{|("\\/Expr\(.*"),?$)', re.MULTILINE)
_OTHERS = (": null", ": [", ": {", '"\\/Expr(')
_TURN = os.memfd_create("turn")  # the lock of a file belongs to a process: stdout has one writer at a time


def main() -> None:
    asked = json.loads(sys.stdin.read())
    # Without a token the query is anonymous, which most pools permit.
    authentication = "REQUIRED" if asked["token"] else "OPTIONAL"
    htcondor2 = client_library.load(authentication, {"QUERY_TIMEOUT": "30"})
    gc.disable()  # the many objects here are in no circles
    try:
        query = _Query(htcondor2, asked)
        _print(json.dumps(query.daemon()))
        _side_by_side(query, query.ranges())
    except _Failed as failed:
        _print(json.dumps({"failed": failed.args[0]}))


def _side_by_side(query: _Query, of_machine: Sequence[str]) -> None:
    """Print all parts, by two processes if there are two processors. Raises _Failed."""
    parts = list(enumerate(of_machine))
    if len(parts) < 2 or len(os.sched_getaffinity(0)) < 2:
        _print_parts(query, parts)
        return
    other = os.fork()
    if not other:
        os._exit(_exit_status(query, parts[1::2]))
    try:
        _print_parts(query, parts[::2])
    finally:
        _, status = os.waitpid(other, 0)
    if status:
        raise _Failed("query")


def _exit_status(query: _Query, parts: Sequence[tuple[int, str]]) -> int:
    try:
        _print_parts(query, parts)
    except BaseException:  # whatever it is, this process must not go on as its parent
        return 1
    return 0


def _print_parts(query: _Query, parts: Sequence[tuple[int, str]]) -> None:
    for number, constraint in parts:
        for ads in query.part(constraint):
            for line in query.lines(number, ads):
                _print(line)
        _print(json.dumps({"part": number, "ends": True}))


def _print(line: str) -> None:
    """Print a line while the other process prints none."""
    fcntl.lockf(_TURN, fcntl.LOCK_EX)
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    fcntl.lockf(_TURN, fcntl.LOCK_UN)


class _Failed(Exception):
    """There is no answer; the argument says why."""


class _Query:
    """The collector that is asked, and the question."""

    def __init__(self, htcondor2: Any, asked: dict[str, Any]) -> None:
        import classad2  # type: ignore[import-untyped]  # the wheel has no types

        self._htcondor, self._classad, self._asked = htcondor2, classad2, asked
        self._texts: dict[str, str] = {}
        self._constraint = f"({asked['constraint']})"
        try:
            classad2.ExprTree(asked["constraint"])
        except classad2.ClassAdException:
            raise _Failed("constraint") from None
        self._security = htcondor2.SecurityContext(token=asked["token"]) if asked["token"] else None
        try:
            self._collector = htcondor2.Collector(asked["address"], self._security)
        except htcondor2.HTCondorException:
            raise _Failed("query") from None

    def daemon(self) -> dict[str, Any]:
        """What is known of the daemon. Raises _Failed: it does not answer, or is not a collector."""
        found = client_library.daemon(self._htcondor, self._asked["address"], self._security)
        if found is None:
            raise _Failed("query")
        return {**found, "up": self._up(found["ahead"] or 0.0)}

    def ranges(self) -> list[str]:
        """ClassAd expressions of parts that have all slots of a worker; "" is for a single query."""
        known = self._query(f"{self._constraint} && {ranges.WHOLE}", list(ranges.PROJECTION))
        slots = ((ad.get("Machine"), ad.get("NumDynamicSlots")) for ad in known)
        return ranges.constraints(slots, self._asked["limit"]) or [""]

    def part(self, of_machine: str) -> Iterator[list[Any]]:
        """The slots of a part: one answer or two, first those that are not dynamic."""
        projection = self._asked["projection"]
        if not of_machine:
            yield self._query(self._constraint, projection)
            return
        constraint = f"{self._constraint} && {of_machine}"
        whole = self._query(f"{constraint} && {ranges.WHOLE}", projection)
        is_divided = any(ad.get("SlotType") == "Partitionable" for ad in whole)
        yield whole
        if is_divided:
            yield self._query(f"{constraint} && {ranges.DYNAMIC}", self._asked["of_dynamic"] or projection)

    def lines(self, part: int, ads: list[Any]) -> Iterator[str]:
        """Lines of JSON; the list is emptied."""
        while ads:
            some, ads[-_LINE:] = ads[-_LINE:], []
            texts, others = [], []
            for place, ad in enumerate(some):
                text, found = self._encoded(ad)
                texts.append(text)
                others += [[place, *one] for one in found]
            joined = ",".join(texts).replace("\n", "")  # JSON has no line ends in strings
            yield f'{{"part":{part},"ads":[{joined}],"others":{json.dumps(others)}}}'

    def _up(self, ahead: float) -> float | None:
        """For how long the collector runs; of several in its pool, the one that started last.

        Raises _Failed: it is not a collector. A schedd answers a query for slots too, with none.
        """
        kind, names = self._htcondor.AdType.Collector, ["Name", "DaemonStartTime"]
        try:
            found = self._collector.query(kind, projection=names)
        except self._htcondor.HTCondorException:
            raise _Failed("collector") from None
        started = [when for ad in found if isinstance(when := ad.get("DaemonStartTime"), int)]
        return max(0.0, time.time() + ahead - max(started)) if started else None

    def _query(self, constraint: str, names: list[str]) -> list[Any]:
        try:
            found: list[Any] = self._collector.query(self._htcondor.AdType.Startd, constraint, names)
        except self._htcondor.HTCondorException:
            raise _Failed("query") from None
        return found

    def _encoded(self, ad: Any) -> tuple[str, list[tuple[str, Any]]]:
        """The ad as JSON by HTCondor, and the values to replace in it."""
        try:
            text: str = ad.printJson()
        except UnicodeDecodeError:
            names = [*self._asked["projection"]]
            return json.dumps({name: value for name in names if (value := self._value(ad, name, ""))}), []
        if not any(sign in text for sign in _OTHERS):
            return text, []
        found = (match.groups() for match in _OTHER.finditer(text))
        return text, [(name, self._value(ad, name, written or "")) for name, written in found]

    def _value(self, ad: Any, name: str, written: str) -> Any:
        """The value for JSON, None to leave it out. `written` is an expression in HTCondor's JSON."""
        try:
            value = ad.get(name)
        except UnicodeDecodeError:
            return "\ufffd"
        if value is self._classad.Value.Undefined:
            # condor_status prints nothing else for it; Start alone must tell it from a missing attribute.
            return {"expression": "undefined", "error": False} if name.casefold() == "start" else None
        if value is self._classad.Value.Error:
            return {"expression": "error", "error": True}
        if isinstance(value, self._classad.ExprTree):
            return {"expression": self._text(value, written), "error": self._is_error(ad, value)}
        return value if isinstance(value, (str, bool, int, float)) else None

    def _text(self, tree: Any, written: str) -> str:
        """The expression as condor_status prints it: with =?=, where str() and JSON have `is`."""
        if not (text := self._texts.get(written, "")):
            printed: str = self._classad.ClassAd({"x": tree}).printOld()
            text = printed.strip().removeprefix("x = ")
            if written:
                self._texts[written] = text
        return text

    def _is_error(self, ad: Any, tree: Any) -> bool:
        return tree.eval(ad) is self._classad.Value.Error


if __name__ == "__main__":
    main()
