"""A proof as people see it."""

from __future__ import annotations

import pytest

from bakery.commands.proof_table import lines, print_proof

PROOF = {
    "pool": {"checks": [{"what": "a job of TG-PROOF01 ran on it, its output came back", "seconds": 24.1}]},
    "boot": {"checks": [{"what": 'under Name == "[x]"', "seconds": 193.21}]},
}


def test_it_goes_to_stderr_and_nothing_of_it_is_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_proof(PROOF)
    said = capsys.readouterr()
    assert said.out == "" and 'under Name == "[x]"' in said.err


def test_no_proof_is_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_proof({})
    assert capsys.readouterr().err == ""


def test_the_lowest_level_comes_first_and_what_is_long_stays_in_its_column() -> None:
    assert list(lines(PROOF, 46)) == [
        "level  what was shown                  seconds",
        'boot   under Name == "[x]"               193.2',
        "pool   a job of TG-PROOF01 ran on it,     24.1",
        "       its output came back",
    ]


def test_what_was_shown_keeps_some_columns_on_any_terminal() -> None:
    assert max(map(len, lines(PROOF, 1))) == len("level  ") + 20 + len("  seconds")
