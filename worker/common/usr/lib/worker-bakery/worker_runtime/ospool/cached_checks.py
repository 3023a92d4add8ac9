"""Tests whose answers are remembered: some are too heavy for each look, and some come and go.

Good and bad answers are kept for times of their own. What is remembered is in /run, so a new boot
tries everything anew.
"""

import json
from typing import Dict, Mapping, NamedTuple, Sequence

from worker_runtime.system import files, timed_checks
from worker_runtime.system.timed_checks import Answer, Check


class CachedCheck(NamedTuple):
    check: Check
    keep: int = 0  # seconds for which a good answer holds; 0: until the next look
    again: int = 0  # the same of a bad one


class Result(NamedTuple):
    ok: bool
    said: str  # if fine, what was found; else what is wrong, in words
    at: int  # seconds since 1970


def run(tests: Sequence[CachedCheck], now: int, remembered: str, unanswered: str) -> Dict[str, Result]:
    """Of each test, by its name, today's or a remembered one; two files, kept between calls."""
    known = load(remembered)
    open_ones = due(tests, known, now)
    found = timed_checks.run_checks([test.check for test in open_ones], unanswered)
    merged = {**{test.check.name: known.get(test.check.name) for test in tests}, **dated(found, now)}
    kept = {name: result for name, result in merged.items() if result}
    files.put(remembered, json.dumps(kept, sort_keys=True).encode("ascii"), 0o644)
    return kept


def dated(found: Mapping[str, Answer], now: int) -> Dict[str, Result]:
    return {name: Result(one.ok, one.said, now) for name, one in found.items()}


def due(tests: Sequence[CachedCheck], known: Mapping[str, Result], now: int) -> Sequence[CachedCheck]:
    """Those that are to be tried now."""
    return [test for test in tests if not _holds(test, known.get(test.check.name), now)]


def _holds(test: CachedCheck, result: Result, now: int) -> bool:
    # A clock that was set back makes nothing hold for longer.
    return bool(result) and 0 <= now - result.at < (test.keep if result.ok else test.again)


def load(path: str) -> Dict[str, Result]:
    try:
        with open(path, encoding="ascii") as file:
            return {name: Result(*row) for name, row in json.load(file).items()}
    except FileNotFoundError:
        return {}
