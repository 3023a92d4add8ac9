"""Lines of two parts of an answer that alternate."""

from __future__ import annotations

from bakery.status.ask import Collector, _Parts
from bakery.status.workers import Ad


def test_lines_of_two_parts_that_alternate() -> None:
    taken: list[list[Ad]] = []
    parts = _Parts(("Name",), lambda ads, _: taken.append(ads), Collector("", None))
    parts.read('{"part": 0, "ads": [{"NAME": "a1"}], "others": []}')
    parts.read('{"part": 1, "ads": [{"Name": "b1"}], "others": []}')
    parts.read('{"part": 0, "ads": [{"Name": "a2"}], "others": [[0, "Name", "é"]]}')
    parts.read('{"part": 0, "ends": true}')
    assert taken == [[{"Name": "a1"}, {"Name": "é"}]]
    parts.read('{"part": 1, "ends": true}')
    assert taken[1] == [{"Name": "b1"}]
