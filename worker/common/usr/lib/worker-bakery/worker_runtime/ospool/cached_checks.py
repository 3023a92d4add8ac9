"""Runs checks whose results are cached: some are too expensive for each run, and some results vary.

Successes and failures are kept for times of their own. The cache is in /run, so that a reboot runs all
checks again.
"""

import json
from typing import Dict, Mapping, NamedTuple, Optional, Sequence

from worker_runtime.system import files, timed_checks
from worker_runtime.system.timed_checks import Answer, Check


class CachedCheck(NamedTuple):
    """A check with the times for which its results are valid."""

    check: Check
    keep: int = 0  # seconds for which a success is valid; 0: until the next run
    again: int = 0  # the same for a failure


class Result(NamedTuple):
    """A result with its time."""

    ok: bool
    text: str  # the detail of a success, or what is wrong
    at: int  # seconds since 1970


def run(tests: Sequence[CachedCheck], now: int, cache: str, unanswered: str) -> Dict[str, Result]:
    """The new or cached result of each check by its name.

    `cache` and `unanswered` are files that are kept between calls; `now` is in seconds since 1970.
    """
    known = load(cache)
    pending = due(tests, known, now)
    found = timed_checks.run_checks([test.check for test in pending], unanswered)
    merged = {**{test.check.name: known.get(test.check.name) for test in tests}, **dated(found, now)}
    kept = {name: result for name, result in merged.items() if result}
    files.put(cache, json.dumps(kept, sort_keys=True).encode("ascii"), 0o644)
    return kept


def dated(found: Mapping[str, Answer], now: int) -> Dict[str, Result]:
    """The answers with their time."""
    return {name: Result(one.ok, one.text, now) for name, one in found.items()}


def due(tests: Sequence[CachedCheck], known: Mapping[str, Result], now: int) -> Sequence[CachedCheck]:
    """The checks to run now."""
    return [test for test in tests if not _holds(test, known.get(test.check.name), now)]


def _holds(test: CachedCheck, result: Optional[Result], now: int) -> bool:
    # A clock that was set back does not make results valid for longer.
    return result is not None and 0 <= now - result.at < (test.keep if result.ok else test.again)


def load(path: str) -> Dict[str, Result]:
    """The cached results in a file."""
    try:
        with open(path, encoding="ascii") as file:
            return {name: Result(*row) for name, row in json.load(file).items()}
    except FileNotFoundError:
        return {}
