"""Ranges of Machine: every slot is in exactly one, by HTCondor's own evaluation, and none is too large."""

from __future__ import annotations

import random

import classad2  # type: ignore[import-untyped]  # no types
import pytest

from bakery.status import ranges

ODD = [None, 5, "", "É", 'a"b', "x_y", "NODE-1", "node-1", "~", "\U0001f600", "a b"]


def chosen(constraints: list[str], machine: object) -> list[int]:
    """The places of the constraints that are true for a slot."""
    ad = classad2.ClassAd({} if machine is None else {"Machine": machine})
    return [place for place, text in enumerate(constraints) if classad2.ExprTree(text).eval(ad) is True]


@pytest.mark.parametrize("limit", [1, 3, 50, 1000])
def test_each_slot_is_in_one_range(limit: int) -> None:
    source = random.Random(limit)
    names = [f"{source.choice('aBcD_-é')}{source.randrange(200)}.example.edu" for _ in range(150)]
    slots = [(name, source.choice([None, 0, 3, -5])) for name in [*names, *ODD]]
    found = ranges.constraints(slots, limit)
    assert len(found) > 1 or (limit == 1000 and found == ["true"])
    for name in [*names, *ODD, "later.example.edu"]:  # also one that joins between two queries
        assert len(chosen(found, name)) == 1


def test_no_range_is_too_large() -> None:
    slots = [(f"node-{number}", 9) for number in range(1000)]
    random.Random(1).shuffle(slots)
    found = ranges.constraints(slots, 1100)
    sizes = [0] * len(found)
    for name, dynamic in slots:
        [place] = chosen(found, name)
        sizes[place] += ranges.WHOLE_WEIGHT + dynamic
    assert max(sizes) <= 1100
    assert len(sizes) <= 12


def test_the_slots_of_a_machine_are_together() -> None:
    found = ranges.constraints([("node-1", None)] * 500 + [("node-2", None)] * 5, 100)
    assert len(found) == 2


def test_few_slots_are_one_range() -> None:
    assert ranges.constraints([], ranges.LIMIT) == []
    assert ranges.constraints([("a", 1), ("b", None)], 20) == []
    assert ranges.constraints([("a", 1), ("b", None)], 19) == ["true"]
