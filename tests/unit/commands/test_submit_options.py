"""An image as a job: its options reach the execute node, with the files that they name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.bake.options import Options, make_plan
from bakery.commands import bake, bake_options
from bakery.commands.bake_options import parser
from bakery.commands.command_line.settings import NO_SETTINGS
from bakery.commands.definition import images
from bakery.commands.submit import image, options
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
DEFINITION = """\
packages = ["htop"]

[[files]]
path = "/etc/motd"
source = "motd"

[matrix]
worker = ["osg", "prominence"]
"""


def job(*argv: str) -> JobImage:
    found = parser().parse_args([*argv, "--submit"])
    return image.job_of("", bake_options.options(found), found)


def received(made: JobImage, folder: Path) -> Options:
    """The options of the bake that the execute node runs, in `folder`."""
    for path, content in made.files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    found = parser().parse_args(made.arguments)
    found.files = [folder / path for path in found.files]
    [(label, wanted)] = images.images(found, made.arguments, NO_SETTINGS)
    assert label == made.label
    return wanted


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("--worker", "prominence", "--engine", "chroot", "--accel", "tcg", "--checkpoints", "none"),
        ("--with", "apptainer", "--with", "udocker", "--mirror", "http://mirror.example.org/debian"),
        ("--base", "almalinux9", "--arch", "x86_64", "--base-url", "https://a.example.org/", "--offline"),
        ("--base", "almalinux9", "--repository-url", "epel=http://m.example.org/e", "--refresh", "never"),
        ("--base", "almalinux9", "--repository-url", "epel=http://m.example.org/epel",
         "--keep-repository-urls"),
        ("--rebuild-base", "--forbid-eol", "--format", "oci", "-o", "x.tar"),
    ],
)  # fmt: skip
def test_the_job_gets_the_options(argv: tuple[str, ...], tmp_path: Path) -> None:
    mine = bake_options.options(parser().parse_args(argv))
    made = job(*argv)
    level = mine.level if made.level else received(made, tmp_path).level
    assert received(made, tmp_path) == replace(mine, output=None, level=level)


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
    assert base in made.files.values()
    assert b"http://packages.example.org/debian" in bytes(made.files["apt.sources"])
    assert str(tmp_path) not in bytes(made.files["osg-base.toml"]).decode()
    made = job("--base", "almalinux9", "--repository-key", f"epel={key}")
    assert key.read_bytes() in made.files.values()


def test_the_images_of_a_definition_file_are_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "motd").write_bytes(b"\xff\0")
    (tmp_path / "site.toml").write_text(DEFINITION)
    found = parser().parse_args(["site.toml", "--submit", "--engine", "chroot"])
    made = [image.job_of(*item, found) for item in images.images(found, ["site.toml"], NO_SETTINGS)]
    assert [(one.label, one.output) for one in made] == [
        (name, tmp_path / f"{name}.qcow2") for name in ("site-osg", "site-prominence")
    ]
    for one, (_, mine) in zip(made, images.images(found, ["site.toml"], NO_SETTINGS), strict=True):
        (tmp_path / one.label).mkdir()
        assert "--engine=chroot" in one.arguments
        theirs = make_plan(received(one, tmp_path / one.label))[1]
        assert theirs.id == make_plan(mine)[1].id


@pytest.mark.parametrize(
    ("text", "argv", "level"),
    [
        ('base = "debian13"', (), ""),
        ('verify = "offline"', (), "offline"),
        ('verify = "offline"', ("--verify", "boot"), "boot"),
    ],
)
def test_the_level_that_a_job_must_reach(
    text: str, argv: tuple[str, ...], level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job without root fails at such a level; without one, its image is not verified."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text(text)
    given = ("one.toml", "--submit", *argv)
    found = parser().parse_args(given)
    [made] = [image.job_of(*item, found) for item in images.images(found, given, NO_SETTINGS)]
    assert made.level == level


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
    """An option that is in no list would be lost on the way to the execute node."""
    here = {
        *("output", "verify", "dry_run", "explain", "list_bases", "list_roles", "packer_files"),
        *("print_definition", "print_schema", "jobs", "keep_failed", "key", "passphrase_file"),
        *("json", "verbose", "quiet", "version", "help", "wait", "submit"),
        "list_seal",
    }
    # They are keys of the definition, which bakery/definition/printed.py writes.
    flags = {flag: action.dest for action in parser()._actions for flag in action.option_strings}
    in_definition = {*(flags[flag] for flag in images.KEYS), "files", "repository_urls", "lock"}
    passed = {name for name, _ in (*image.VALUES, *image.FLAGS, *image.LISTS)}
    options = {action.dest for action in parser()._actions if not action.dest.startswith("submit_")}
    assert options == here | in_definition | passed


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ("--wait", "--wait requires --submit"),
        ("--submit-command a=b", "--submit-command requires --submit"),
        ("--submit --submit-files d", "--submit-files and --submit "),
        ("--submit-files d --submit-dir e", "--submit-files and --submit-dir "),
        ("--submit-files d --wait", "--submit-files and --wait "),
        ("w.toml --submit-status d", "--submit-status and FILE.toml "),
        ("--submit-status d --submit-dir e", "--submit-status and --submit-dir "),
    ],
)
def test_an_option_without_effect_is_refused(argv: str, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        options.is_wanted(parser().parse_args(argv.split()))


@pytest.mark.parametrize("argv", ["--submit --wait", "--submit-status d --wait", "w.toml --submit-files d"])
def test_options_for_a_pool(argv: str) -> None:
    assert options.is_wanted(parser().parse_args(argv.split()))
