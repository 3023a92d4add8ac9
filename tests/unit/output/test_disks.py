"""The options of formats that the store does not keep."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakery.bake.options import OUTPUT_FOLDER, Options, check
from bakery.output import commit, disks
from bakery.output.formats import FORMATS, Name
from provisioner.errors import BadInput, CommandFailed

COPIES: tuple[Name, ...] = ("raw", "vmdk", "vhd", "gce")


def test_all_disks_come_from_one_image_of_the_store() -> None:
    assert (
        {name for name, form in FORMATS.items() if not form.is_stored} == disks.FORMS.keys() == set(COPIES)
    )
    assert {form.stored_suffix for form in FORMATS.values() if form.boots} == {".qcow2"}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_needs_a_place(name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=f"The format {name} requires -o"):
        check(Options(format=name))
    check(Options(format=name, output=tmp_path / "worker"))
    monkeypatch.setenv(OUTPUT_FOLDER, str(tmp_path))
    check(Options(format=name))


def test_compat_is_for_a_qcow2_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--compat requires -o"):
        check(Options(compat=True))
    with pytest.raises(BadInput, match="--compat is for qcow2; the format is raw"):
        check(Options(compat=True, format="raw", output=tmp_path / "worker.raw"))
    check(Options(compat=True, output=tmp_path / "worker.qcow2"))


@pytest.mark.parametrize("has_nameless_files", [True, False])
def test_a_file_appears_only_when_it_is_complete(
    has_nameless_files: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_nameless_files:
        monkeypatch.setattr(os, "O_TMPFILE", 0)  # a folder cannot be opened for writing
    target = tmp_path / "worker.raw"
    target.write_text("old")
    with pytest.raises(CommandFailed), commit.appearing(target) as path:
        path.write_text("new")
        raise CommandFailed("qemu-img convert", 1, "")
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"worker.raw": "old"}
    with commit.appearing(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"worker.raw": "new"}
