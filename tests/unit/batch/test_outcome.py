"""The results of several images: exit code, table and JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.batch.outcome import Outcome, exit_code
from bakery.commands.definition import batch as bake_batch
from provisioner import errors
from provisioner.errors import BadInput, BakeryError, NotProven, Unreachable, WrongChecksum

BAKED = Outcome(
    "osg",
    61.04,
    Path("/cache/osg.qcow2"),
    manifest={
        **dict.fromkeys(("id", "base", "kind", "size", "sha256", "made"), ""),
        "proof": {"offline": {}, "boot": {}},
    },
)


def failed(error: BakeryError) -> Outcome:
    return Outcome("broken", 2.5, error=error)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], 0),
        ([Unreachable("x")], 5),
        ([Unreachable("x"), NotProven("x")], 4),
        ([NotProven("x"), WrongChecksum("x")], 7),
        ([BadInput("x"), WrongChecksum("x"), BakeryError("x")], 1),
    ],
)
def test_the_exit_code_is_that_of_the_worst(found: list[BakeryError], code: int) -> None:
    assert exit_code([BAKED, *map(failed, found)]) == code


def test_every_error_of_a_bake_has_a_severity() -> None:
    others = (errors.Different, errors.Outdated, errors.Vulnerable)
    kinds: list[type[BakeryError]] = [
        BakeryError,
        *(kind for kind in errors._KINDS.values() if kind not in others),
    ]
    assert {kind.exit_code for kind in kinds} == set(errors.SEVERITY)


def test_a_code_without_severity_is_the_least() -> None:
    class Other(BakeryError):
        exit_code = 99

    assert exit_code([failed(Other("x"))]) == 99
    assert exit_code([failed(Other("x")), failed(Unreachable("x"))]) == 5


def test_rows() -> None:
    _, *rows = bake_batch.rows([BAKED, failed(BadInput("x"))])
    assert rows == [
        ("osg", "baked", "61.0", "boot", "/cache/osg.qcow2"),
        ("broken", "failed", "2.5", "-", "-"),
    ]


def test_json() -> None:
    shown = bake_batch.to_json(failed(Unreachable("no answer", "try again")))
    assert shown["error"] == {
        "class": "Unreachable",
        "message": "no answer",
        "hint": "try again",
        "where": "",
        "log": "",
        "exit_code": 5,
    }
    made = bake_batch.to_json(BAKED)
    assert (made["path"], made["from_store"], made["seconds"]) == ("/cache/osg.qcow2", False, 61.0)
    assert "error" not in made and "plan" not in made
