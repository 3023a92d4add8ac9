"""worker-bakery bases: the list, and --update."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.base_proofs import result_file
from bakery.base_proofs.record import Record
from bakery.commands import bake, bases
from bakery.image import bases as known_bases
from bakery.runtime import data
from bakery.sources import pins
from provisioner.errors import BadInput, Unreachable

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def test_the_list_is_that_of_bake(capsys: Captured) -> None:
    assert bases.main([]) == 0
    listed = capsys.readouterr().out
    assert bake.main(["--list-bases"]) == 0
    assert capsys.readouterr().out == listed
    assert len(listed.splitlines()) == 1 + len(known_bases.known())


def test_only_those_that_are_named(capsys: Captured) -> None:
    assert bases.main(["--json", "rocky9", "debian12"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["rocky9", "debian12"]
    assert bases.main(["rocki9"]) == BadInput.exit_code
    assert "Did you mean rocky9?" in capsys.readouterr().err


def updates(path: Path) -> Iterator[str]:
    if path.stem == "debian12":
        raise Unreachable("The mirror does not answer.")
    yield f"{path.stem} x86_64: https://example.org/new"


def test_a_base_that_cannot_be_updated_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(pins, "update", updates)
    names = ["debian12", "rocky9"]
    assert bases.main(["--update", *names]) == Unreachable.exit_code
    said = capsys.readouterr()
    assert said.out == "rocky9 x86_64: https://example.org/new\n"
    assert said.err == "warning: debian12: The mirror does not answer.\n"
    assert bases.main(["--update", "--json", "rocky9"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == ["rocky9 x86_64: https://example.org/new"]
    assert [path.stem for path in pins.paths()] == [base.name for base in known_bases.known()]


def test_an_installed_package_is_not_updated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    monkeypatch.setattr(data, "ROOT", tmp_path)
    assert bases.main(["--update"]) == BadInput.exit_code
    assert "Use --update in a checkout of the sources." in capsys.readouterr().err


def test_what_was_shown_is_read_from_the_result_file(tmp_path: Path, capsys: Captured) -> None:
    result = tmp_path / "proofs.json"
    result_file.merge(result, "rocky9", Record(tests="by hand"))
    assert bases.main(["--result", str(result), "rocky9", "debian13"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[1].endswith("by hand") and listed[2].endswith("no: declared only")
    assert bases.main(["--json", "--result", str(result), "rocky9"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["proof"], row["shown"]) == ("by hand", {"tests": "by hand"})


def test_an_installed_package_is_proven_into_a_file_of_the_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    monkeypatch.setattr(data, "ROOT", tmp_path)
    assert bases.main(["--prove"]) == BadInput.exit_code
    assert "Add --result FILE." in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--level", "boot"], ["--accel", "kvm"]])
def test_options_of_prove_require_it(option: list[str], capsys: Captured) -> None:
    assert bases.main(option) == BadInput.exit_code
    assert f"{option[0]} requires --prove." in capsys.readouterr().err
