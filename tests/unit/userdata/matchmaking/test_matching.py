"""Expressions are evaluated as by a startd; the samples; strings for patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.userdata.matchmaking import matching, patterns, samples
from bakery.userdata.matchmaking.attributes import JOB, MACHINE
from bakery.userdata.matchmaking.matching import SAMPLES, Pair


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Memory == 32000", "yes"),
        ("MY.Memory == 32000", "yes"),
        ("TARGET.Memory == 7", "yes"),
        ("memory == 7", "no"),  # the worker's hides the job's
        ('Owner == "somebody"', "yes"),
        ("MY.Owner =?= undefined", "yes"),
        ("MY.Owner", "undefined"),
        ("TARGET.Wish", "undefined"),
        ("TARGET.Owner", "error"),  # a text is not true
        ("TARGET.ClusterId", "yes"),
        ("0.0", "no"),
        ('stringListMember("a", TARGET.DESIRED_Sites)', "no"),
        ("CurrentTime > 1700000000", "yes"),
        ("NODE_IS_HEALTHY", "yes"),
        ("GPUs", "no"),
        ("SlotWeight == Cpus", "yes"),
    ],
)
def test_evaluation_as_by_a_startd(text: str, answer: str) -> None:
    assert matching.answer(matching.parse(text), Pair(job={"Memory": 7})) == answer


def test_the_ads_are_restored_after_each_evaluation() -> None:
    seen = matching.parse("TARGET.ProjectName =?= undefined && Memory == 32000 && TARGET.JobPrio =?= 0")
    for pair in (
        Pair(job={"ProjectName": "x"}),
        Pair(worker={"Memory": 1}),
        Pair(job={"JobPrio": None}),
        Pair(worker={"Memory": None, "New": [1]}),
    ):
        assert not matching.accepts(seen, pair)
        assert matching.accepts(seen, SAMPLES)


def test_the_samples_have_no_duplicate_attributes() -> None:
    for lists in ((samples.WORKER, samples.OPTIONAL_WORKER), (samples.JOB, samples.OPTIONAL_JOB)):
        names = [name.casefold() for one in lists for name in one]
        assert len(names) == len(set(names))
    assert set(samples.WORKER) >= samples.CONSTANT_WORKER
    assert samples.WORKER_ATTRIBUTES <= MACHINE and samples.JOB_ATTRIBUTES <= JOB


@pytest.mark.parametrize(
    "pattern",
    [
        "^TG-", "^TG-[0-9]{3}$", "^(TG|XX)-\\d+", "(?i)tg-.*", "[^a]b", "a|b|", ".*osg.*",
        "\\.edu$", "[]a]", "a{2,3}b?c*", "(?:x|y)+z", "^[A-Z]{2,4}[0-9]+$", "\\bword\\b", "a+?b",
        "[\\w.-]+@site\\.example",
    ],
)  # fmt: skip
def test_examples_match_the_pattern(pattern: str) -> None:
    found = patterns.examples(pattern)
    assert found and all(re.search(pattern, text) for text in found)


@given(st.text("ab|()[]{}^$*+?.\\-1,:!<>=Pd"))
def test_examples_of_any_pattern_are_short(pattern: str) -> None:
    assert all(len(text) < 5000 for text in patterns.examples(pattern))
