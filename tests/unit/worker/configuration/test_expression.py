"""Start: one closed expression, which cannot reach beyond the parentheses around it."""

from __future__ import annotations

import pytest
from worker_runtime.configuration.expression import problem


@pytest.mark.parametrize(
    "text",
    [
        "True",
        'TARGET.ProjectName =?= "TG-ABC123"',
        "(A == 1 || B != 2) && !(C >= 3) && D <= 4 && E =!= undefined",
        'Owner == "a\\"b ) ( // ; = \\ \\\\ "',
        r'regexp("a\.b\\d", X) && Y == "a\\\"b"',
        "'odd name' == 1 && stringListMember(Owner, \"a,b\")",
        'regexp("^tg-[0-9]+$", ProjectName, "i") && {1, 2}[0] == 1',
        "[ a = 1; b = 2 ].a == 1",
        "a / b > 1",
        'Owner == "é"',
        "(a ?: b) == c",
    ],
)
def test_expressions(text: str) -> None:
    assert problem(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("True ) || ( True", "closing )"),
        ("True; Foo=1", "semicolon"),
        ("A == 1 ]", "closing ]"),
        ("( A ]", "closing ]"),
        ("((A)", "never closed"),
        ("A == 1 // x", "comment"),
        ("A /* ", "comment"),
        ('A == "x', "quotation mark"),
        ("A == 'x", "quotation mark"),
        # HTCondor reads the strings "a\\" == " and " == ", and everything between them bare.
        (r'"a\\" == " ) || ( True || " == "', "two ways"),
        (r'A == "x\\"', "two ways"),
        (r"'a\'b' == 1", "two ways"),
        ('A == "x\\"', "quotation mark"),
        ("A == 1 \\", "backslash"),
        ("$(SECRET) == 1", "macros are not expanded"),
        ('ProjectName = "x"', "single ="),
        ("A == \u201cx\u201d", "ASCII"),
    ],
)
def test_what_is_none(text: str, said: str) -> None:
    found = problem(text)
    assert found is not None and said in found
