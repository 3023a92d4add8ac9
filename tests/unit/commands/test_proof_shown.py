"""The table of a proof."""

from __future__ import annotations

import pytest

from bakery.commands.command_line.proof_table import lines, print_proof

PROOF = {
    "pool": {"checks": [{"what": "a job of TG-PROOF01 ran on it, its output came back", "seconds": 24.1}]},
    "boot": {"checks": [{"what": 'under Name == "[x]"', "seconds": 193.21}]},
}


def test_the_table_goes_to_stderr_and_is_not_interpreted_as_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_proof(PROOF)
    printed = capsys.readouterr()
    assert printed.out == "" and 'under Name == "[x]"' in printed.err


def test_without_a_proof_no_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_proof({})
    assert capsys.readouterr().err == ""


def test_the_lowest_level_comes_first_and_long_checks_are_wrapped() -> None:
    assert list(lines(PROOF, 46)) == [
        "level  what was shown                  seconds",
        'boot   under Name == "[x]"               193.2',
        "pool   a job of TG-PROOF01 ran on it,     24.1",
        "       its output came back",
    ]


def test_checks_have_20_columns_on_any_terminal() -> None:
    assert max(map(len, lines(PROOF, 1))) == len("level  ") + 20 + len("  seconds")
