"""An answer in parts that two processes print at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

# A query whose parts are long lines: they would mix in a pipe that two processes write to at once.
PROGRAM = """
import sys
from bakery.status import ask_ads

class Query:
    def part(self, constraint):
        if constraint == "fails":
            raise ask_ads._Failed("query")
        for _ in range(20):
            yield [{"Machine": constraint}] * 3000

    def lines(self, part, ads):
        yield '{"part":%d,"ads":%s}' % (part, __import__("json").dumps(ads))

try:
    ask_ads._side_by_side(Query(), sys.argv[1:])
except ask_ads._Failed as failed:
    ask_ads._print('{"failed":"%s"}' % failed)
"""


def printed(*of_machine: str) -> list[str]:
    argv = [sys.executable, "-c", PROGRAM, *of_machine]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor: there is one process")
def test_two_processes_never_mix_their_lines() -> None:
    lines = [json.loads(line) for line in printed("a", "b", "c")]
    ends = [line["part"] for line in lines if line.get("ends")]
    assert sorted(ends) == [0, 1, 2]
    for line in lines:
        assert line.get("ends") or {ad["Machine"] for ad in line["ads"]} == {"abc"[line["part"]]}
    assert sum(len(line.get("ads", ())) for line in lines) == 3 * 20 * 3000


@pytest.mark.parametrize("of_machine", [("fails", "b"), ("a", "fails"), ("fails",)])
def test_a_query_that_fails_in_either_process(of_machine: tuple[str, ...]) -> None:
    assert json.loads(printed(*of_machine)[-1]) == {"failed": "query"}
