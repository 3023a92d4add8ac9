"""The image of the command line as a job: its options reach the execute node, with the files they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bakery.commands import bake, bake_options
from bakery.commands.bake_options import parser
from bakery.commands.submit import image
from bakery.submit.images import JobImage
from provisioner.errors import BadInput

SOURCES = """\
Types: deb
URIs: http://packages.example.org/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 AAAA
 -----END PGP PUBLIC KEY BLOCK-----
"""


def job(*argv: str) -> JobImage:
    found = parser().parse_args([*argv, "--submit"])
    return image.image_of_options(found, bake_options.options(found))


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--worker", "prominence", "--engine", "chroot", "--accel", "tcg", "--checkpoints", "none"),
        ("--with", "apptainer", "--with", "udocker", "--mirror", "http://mirror.example.org/debian"),
        ("--base", "almalinux9", "--arch", "x86_64", "--base-url", "https://a.example.org/", "--offline"),
        (
            "--base",
            "almalinux9",
            "--repository-url",
            "epel=http://m.example.org/epel",
            "--keep-repository-urls",
        ),
        ("--rebuild-base", "--forbid-eol", "--format", "oci", "-o", "x.tar"),
    ],
)
def test_the_job_gets_the_options(argv: tuple[str, ...]) -> None:
    mine = vars(parser().parse_args(argv))
    other = vars(parser().parse_args(job(*argv).arguments))
    assert {**mine, "output": None} == other


def test_the_image_of_the_default_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = job("--arch", "x86_64")
    assert (made.label, made.architecture, made.level) == ("osg-debian13", "x86_64", "")
    assert made.output == tmp_path / "osg-debian13.qcow2"
    assert job("--verify", "none", "--arch", "x86_64").level == "none"


def test_files_of_this_machine_are_transferred(tmp_path: Path) -> None:
    source, key, base = tmp_path / "our.sources", tmp_path / "it's a key", tmp_path / "base.qcow2"
    source.write_text(SOURCES)
    key.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n")
    base.write_bytes(b"QFI\xfb")
    made = job(
        "--base-image", str(base), "--family", "debian", "--with", "udocker", "--apt-source", str(source)
    )
    assert made.files["base-image/base.qcow2"] == base
    assert "--base-image=base-image/base.qcow2" in made.arguments
    assert not any(word.startswith("--base=") for word in made.arguments)
    assert b"http://packages.example.org/debian" in bytes(made.files["apt.sources"])
    made = job("--base", "almalinux9", "--repository-key", f"epel={key}")
    assert made.files == {"repository-key-0": key}
    assert made.arguments[-1] == "--repository-key=epel=repository-key-0"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--keep-failed",), "--keep-failed"),
        (("--format", "oci", "-o", "layout"), "cannot write the folder"),
        (("--base", "debain13"), "debian13"),
        (("-o", "/there/is/none/x.qcow2"), "no folder"),
    ],
)
def test_what_is_refused_before_anything_is_written(argv: tuple[str, ...], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        job(*argv)


def test_the_files_can_be_written_without_htcondor(tmp_path: Path, capsys: Any) -> None:
    argv = ["--submit-files", str(tmp_path / "x.dag"), "-o", str(tmp_path / "x.qcow2")]
    assert bake.main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(tmp_path / "x.dag")}
    assert (tmp_path / "x.dag/bake.dag").is_file()
    assert bake.main(["--submit-status", str(tmp_path / "x.dag")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["osg-debian13", "waiting"]
    assert bake.main(argv) == 2
    assert "exists" in capsys.readouterr().err


def test_a_machine_without_htcondor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir("/")
    assert bake.main(["--submit", "--submit-dir", "/nowhere/x.dag", "-o", str(tmp_path / "x.qcow2")]) == 3
    assert "condor_submit_dag is not installed" in capsys.readouterr().err
    assert bake.main(["--submit", "--submit-dir", "/tmp/x.dag", "-o", str(tmp_path / "x.qcow2")]) == 2
    assert "below /tmp" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [("--wait",), ("--submit-command", "a = b"), ("--submit-dir", "x")])
def test_options_that_require_submit(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert bake.main(argv) == 2
    assert f"{argv[0]} requires --submit." in capsys.readouterr().err


def test_each_option_of_bake_is_passed_on_or_is_for_this_machine() -> None:
    """An option that is in neither list would be lost on the way to the execute node."""
    here = {
        "output",
        "verify",
        "dry_run",
        "explain",
        "list_bases",
        "list_roles",
        "packer_files",
        "keep_failed",
    }
    here |= {"json", "verbose", "quiet", "version", "help", "wait", "submit"}
    transferred = {"base", "base_image", "apt_sources", "pelican", "repository_keys"}
    passed = {name for name, _ in (*image.VALUES, *image.FLAGS, *image.LISTS)}
    options = {action.dest for action in parser()._actions if not action.dest.startswith("submit_")}
    assert options == here | transferred | passed
