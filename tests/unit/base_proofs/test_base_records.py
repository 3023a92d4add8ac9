"""The records of bases: merged, read, written and put into words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bakery.bake import lookup
from bakery.bake.options import Options
from bakery.base_proofs import prove, record, result_file
from bakery.base_proofs.record import NotTried, Proof, Record
from bakery.image import bases
from bakery.store.store import Store
from provisioner.errors import (
    BakeryError,
    DiskFull,
    Interrupted,
    MissingHere,
    NotProven,
    Unreachable,
    WrongChecksum,
)
from provisioner.events import Silent

ROCKY = bases.find("rocky9", "x86_64")
POOL = Proof(
    at="2026-11-20T02:17:00+00:00",
    architecture="x86_64",
    image=record.image_digest(ROCKY),
    versions={"worker-bakery": "0.2.0", "HTCondor": "25.0.1-1"},
    level="pool",
    seconds={"bake": 71.0, "offline": 5.9, "boot": 31.2, "pool": 48.0},
)
GONE = NotTried("2026-11-29T02:17:00+00:00", "unreachable", "Cannot download the image.")
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"


# --- merge -----------------------------------------------------------------------------------------


def test_a_base_that_is_unreachable_keeps_its_proof_and_its_tests() -> None:
    merged = record.merged(Record("on a stand-in", POOL), Record(not_tried=GONE))
    assert merged == Record("on a stand-in", POOL, GONE)


def test_a_new_proof_replaces_the_earlier_one_and_why_it_was_not_tried() -> None:
    again = dataclasses.replace(POOL, at="2026-11-30T02:17:00+00:00")
    assert record.merged(Record(proof=POOL, not_tried=GONE), Record(proof=again)) == Record(proof=again)


def test_a_lower_level_without_a_failure_does_not_replace_a_higher_one() -> None:
    offline = dataclasses.replace(POOL, level="offline")
    assert record.merged(Record(proof=POOL), Record(proof=offline)).proof == POOL
    failed = dataclasses.replace(offline, failed="boot: ssh answered: no")
    assert record.merged(Record(proof=POOL), Record(proof=failed)).proof == failed


# --- in words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Record(), "no: declared only"),
        (Record(tests="on a stand-in"), "on a stand-in"),
        (Record(proof=POOL), "pool on 2026-11-20"),
        (Record(proof=POOL, not_tried=GONE), "pool on 2026-11-20"),
        (Record(tests="yes", proof=POOL), "yes; pool on 2026-11-20"),
        (Record(not_tried=GONE), "no: declared only (unreachable on 2026-11-29)"),
        (
            Record(proof=dataclasses.replace(POOL, level="boot", failed="pool: joined: no")),
            "boot on 2026-11-20; failed: pool",
        ),
        (
            Record(proof=dataclasses.replace(POOL, image="sha256:ab")),
            "pool on 2026-11-20; of another image than the pinned one",
        ),
        (
            Record(proof=dataclasses.replace(POOL, image="sha256:ab", architecture="aarch64")),
            "pool on 2026-11-20",
        ),
    ],
)
def test_what_was_shown_in_words(found: Record, words: str) -> None:
    assert record.summary(found, ROCKY) == words


def test_the_statement_has_no_date() -> None:
    assert [record.statement(one) for one in (Record(), Record("yes", POOL), Record(proof=POOL))] == [
        "no: declared only",
        "yes",
        "pool",
    ]


# --- the file ----------------------------------------------------------------------------------------


def test_a_record_survives_the_file_and_others_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "proofs.json"
    assert result_file.read(path) == {}
    result_file.merge(path, "rocky9", Record(proof=POOL))
    result_file.merge(path, "almalinux9", Record(not_tried=GONE))
    assert result_file.merge(path, "rocky9", Record(not_tried=GONE)) == Record(proof=POOL, not_tried=GONE)
    assert result_file.read(path) == {
        "almalinux9": Record(not_tried=GONE),
        "rocky9": Record(proof=POOL, not_tried=GONE),
    }
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"format": 2, "bases": {}}',
        '{"format": 1}',
        '{"format": 1, "bases": {"rocky9": {"proof": {"at": "2026"}}}}',
        '{"format": 1, "bases": {"x": {"proof": {"at": "", "architecture": "", "image": "", "level": 1}}}}',
        '{"format": 1, "bases": {"rocky9": {"not_tried": {"at": "", "reason": "x", "text": ""}}}}',
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "proofs.json"
    path.write_text(text)
    with pytest.raises(BakeryError, match="is not a result file") as caught:
        result_file.read(path)
    assert caught.value.exit_code == 2


def test_the_records_of_the_sources_are_of_known_bases() -> None:
    known = {base.name: base for base in bases.known()}
    found = result_file.read()
    assert set(found) <= set(known)
    assert {name for name, one in found.items() if one.tests == "yes"} == {
        name for name, base in known.items() if base.tested
    }
    for name, one in found.items():
        assert one.proof is None or one.proof.architecture in known[name].architectures


# --- attempts that show nothing, and failures ----------------------------------------------------------


def test_a_base_for_another_architecture_is_not_tried(tmp_path: Path) -> None:
    other = "aarch64" if bases.host() == "x86_64" else "x86_64"
    base = bases.find("rocky9", other)
    attempt = prove.prove(base, Options(base="rocky9", level="pool"), Store(tmp_path), Silent())
    assert attempt.record.proof is None
    assert attempt.record.not_tried and attempt.record.not_tried.reason == "other architecture"
    assert attempt.exit_code == MissingHere.exit_code


@pytest.mark.parametrize(
    ("error", "accelerator", "reason"),
    [
        (Unreachable("The mirror does not answer."), "auto", "unreachable"),
        (MissingHere("KVM does not work: x."), "kvm", "needs KVM"),
        (MissingHere("qemu-img is missing."), "kvm", "this machine"),
        (DiskFull("The disk is full."), "auto", "this machine"),
    ],
)
def test_what_says_nothing_about_the_base_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BakeryError, accelerator: str, reason: str
) -> None:
    attempt = attempt_with(error, tmp_path, monkeypatch, accelerator)
    assert attempt.record.proof is None
    assert attempt.record.not_tried and attempt.record.not_tried.reason == reason
    assert attempt.exit_code == error.exit_code


def attempt_with(
    error: BakeryError, store: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str = "auto"
) -> prove.Attempt:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(lookup, "bake", fails)
    monkeypatch.setattr(bases, "host", lambda: "x86_64")
    options = Options(base="rocky9", level="pool", accelerator=accelerator)
    return prove.prove(ROCKY, options, Store(store), Silent())


def test_a_failure_names_the_step_in_one_line_without_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = WrongChecksum(f"The image\nhas {TOKEN}. " + "x" * 500)
    error.where = "download the base"
    proof = attempt_with(error, tmp_path, monkeypatch).record.proof
    assert proof and proof.level == "none"
    assert proof.failed.startswith("bake: download the base: The image has [token]. xxx")
    assert len(proof.failed) <= 310


def test_an_interrupt_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        attempt_with(Interrupted(2), tmp_path, monkeypatch)


def test_the_level_is_not_repeated_and_the_console_is_left_out() -> None:
    error = NotProven("ssh did not answer.\nThe last lines of its console:\nKernel panic")
    error.where = "level boot: booted (bios), ssh answered"
    assert prove.in_words(error, "boot") == "booted (bios), ssh answered: ssh did not answer."


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([0, 0], 0), ([0, 5], 5), ([5, 4, 0], 4), ([3, 5], 3), ([4, 7, 5], 7), ([4, 1], 1)],
)
def test_the_exit_code_of_the_worst(codes: list[int], code: int) -> None:
    assert prove.worst(codes) == code
