"""--pelican FILE, and the packages of Pelican without it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bakery.bake.options import Options, make_plan
from bakery.commands import bake as bake_command
from bakery.image import bases, pelican, recipe
from provisioner.actions import Put, Run
from provisioner.errors import BadInput
from provisioner.plan import Plan
from provisioner.roles import Pelican
from provisioner.roles.workers.ospool_data import PLUGIN, SETTINGS, InstallPelican

PROGRAM = b"\x7fELF of a test"


def planned(base: str, given: Pelican | None = None) -> Plan:
    return recipe.plan(bases.find(base, "x86_64"), "osg", optional=["ospool"], pelican=given)


def titles(plan: Plan) -> list[str]:
    return [step.title for step in plan.steps if step.role == "ospool"]


def test_el_installs_pelican_from_its_repositories() -> None:
    for base in ("centos7", "almalinux8", "almalinux9", "almalinux10"):
        assert "install pelican-osdf-compat" in titles(planned(base))
    # HTCondor's packages for these bases depend on Pelican.
    for base in ("debian12", "ubuntu24.04", "debian13"):
        assert [title for title in titles(planned(base)) if "elican" in title] == []


def test_given_file_replaces_the_package_and_its_digest_is_in_the_plan() -> None:
    given = Pelican("archive", b"\x1f\x8b of a test")
    for base in ("debian13", "almalinux9"):
        plan = planned(base, given)
        assert "install the supplied Pelican plugin" in titles(plan)
        assert "install pelican-osdf-compat" not in titles(plan)
        assert plan.id != planned(base).id
        assert plan.id != planned(base, Pelican("archive", b"\x1f\x8b of another")).id
    put, run = InstallPelican(given).actions()
    assert isinstance(put, Put) and isinstance(run, Run)
    assert run.argv[-2:] == ("archive", hashlib.sha256(given.data).hexdigest())
    assert put.data == given.data and put.path.startswith("/var/tmp/")
    assert PLUGIN.endswith("/stash_plugin")
    puts = {a.path: a.data for step in planned("debian13", given).steps for a in step.actions
            if isinstance(a, Put)}  # fmt: skip
    assert puts[SETTINGS] == b"FILETRANSFER_PLUGINS = $(FILETRANSFER_PLUGINS),$(STASH_PLUGIN)\n"


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (PROGRAM, "program"),
        (b"#!/bin/sh\n", "program"),
        (b"\x1f\x8b\x08", "archive"),
        (b"!<arch>\ndebian", "package"),
    ],
)
def test_format_is_recognized_by_the_first_bytes(tmp_path: Path, content: bytes, form: str) -> None:
    (tmp_path / "given").write_bytes(content)
    assert pelican.read(tmp_path / "given", "debian") == (form, content)


def test_unsupported_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"!<arch>\n")
    with pytest.raises(BadInput, match="is a Debian package, which the base does not support"):
        pelican.read(tmp_path / "given", "el9")
    (tmp_path / "given").write_bytes(b"\xed\xab\xee\xdb an rpm")
    with pytest.raises(BadInput, match=r"neither a program nor a \.tar\.gz nor a \.deb"):
        pelican.read(tmp_path / "given", "el9")
    with pytest.raises(BadInput, match=r"cannot read .*: No such file"):
        pelican.read(tmp_path / "gone", "el9")
    with pytest.raises(BadInput, match="--pelican requires the role ospool") as caught:
        make_plan(Options(pelican=tmp_path / "gone"))
    assert "--with ospool" in caught.value.hint


def test_bake_image_accepts_pelican(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pelican").write_bytes(PROGRAM)
    argv = ["--dry-run", "--json", "--with", "ospool", "--base", "debian13"]
    assert bake_command.main([*argv, "--pelican", str(tmp_path / "pelican")]) == 0
    planned_json = json.loads(capsys.readouterr().out)
    assert planned_json["id"] == planned("debian13", Pelican("program", PROGRAM)).id
    assert hashlib.sha256(PROGRAM).hexdigest() in json.dumps(planned_json)
