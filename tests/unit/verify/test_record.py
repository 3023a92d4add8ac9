"""The record of a level: checks that run together, and what it keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bakery.verify.record import Record
from provisioner.errors import CommandFailed, NotProven
from provisioner.events import Silent


@pytest.fixture
def record() -> Record:
    return Record("offline", Silent())


def failing(record: Record, what: str, message: str, hint: str = "") -> Callable[[], None]:
    def check() -> None:
        with record.check(what):
            raise NotProven(message, hint)

    return check


def passing(record: Record, what: str) -> Callable[[], None]:
    def check() -> None:
        with record.check(what):
            pass

    return check


def test_all_failures_are_reported_together(record: Record) -> None:
    with pytest.raises(NotProven) as caught:
        record.together(
            failing(
                record, "no secret", "It contains secrets:\n  a token\n", "Find out which step left it."
            ),
            passing(record, "image tests"),
            failing(record, "tests of the site", "It failed a test:\n  test_x\n"),
        )
    error = caught.value
    assert error.where == "level offline: no secret; tests of the site"
    assert error.message == "It contains secrets:\n  a token\nIt failed a test:\n  test_x\n"
    assert error.hint == "Find out which step left it."
    assert [check["what"] for check in record.checks] == ["image tests"]


def test_one_failure_stays_as_it_is(record: Record) -> None:
    with pytest.raises(NotProven) as caught:
        record.together(passing(record, "no secret"), failing(record, "image tests", "It failed.", "Look."))
    assert (caught.value.message, caught.value.hint) == ("It failed.", "Look.")
    assert caught.value.where == "level offline: image tests"


def test_a_program_that_fails_ends_the_checks(record: Record) -> None:
    def broken() -> None:
        raise CommandFailed("mount", 32, "")

    with pytest.raises(CommandFailed):
        record.together(broken, passing(record, "image tests"))
    assert record.checks == []


def test_a_proof_has_the_digests_of_consoles_if_there_are_any(record: Record) -> None:
    assert "consoles" not in record.proof(machine="vm", console="")
    record.consoles["clone-1"] = "ab" * 32
    assert record.proof(machine="vm")["consoles"] == {"clone-1": "ab" * 32}
