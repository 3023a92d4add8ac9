"""bake with definition files: the command line, and what it prints."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from bakery.bake.options import Options, make_plan
from bakery.commands import bake, bake_options
from bakery.commands.command_line.settings import NO_SETTINGS
from bakery.commands.definition import images
from bakery.definition import schema
from bakery.image.repositories import Replaced
from bakery.store.store import Store, commit

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with three definitions."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text('base = "debian13"\nverify = "offline"\n')
    (tmp_path / "two.toml").write_text('name = "two"\nworker = "prominence"\n')
    (tmp_path / "matrix.toml").write_text('[matrix]\nworker = ["osg", "prominence"]\n')
    return tmp_path


def options(*argv: str) -> dict[str, Options]:
    found = bake_options.parser().parse_args(argv)
    return dict(images.images(found, argv, NO_SETTINGS))


def error(capsys: Captured, *argv: str) -> str:
    assert bake.main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.removeprefix("error: ").rstrip("\n")


def test_options_of_the_build_host_apply_on_top() -> None:
    assert options("one.toml") == {"one": Options(level="offline")}
    found = options("one.toml", "--verify", "pool", "-o", "w.qcow2", "--engine", "packer", "--keep-failed")
    wanted = Options(level="pool", output=Path("w.qcow2"), engine="packer", keep_failed=True)
    assert found == {"one": wanted}


def test_mirrors_of_the_build_host(folder: Path, capsys: Captured) -> None:
    (folder / "m.toml").write_text(
        'base = "rocky9"\n[repository-urls]\nepel = "http://a.example"\nhtcondor = "http://b.example"\n'
    )
    found = options("m.toml", "--repository-url", "epel=http://c.example")["m"].replaced
    assert found == Replaced({"epel": "http://c.example", "htcondor": "http://b.example"})
    (folder / "k.toml").write_text(f"keep-repository-urls = true\n{(folder / 'm.toml').read_text()}")
    assert error(capsys, "k.toml", "--repository-url", "epel=http://c.example") == (
        "--repository-url cannot be used with keep-repository-urls. "
        "Set repository-urls in the definition file."
    )


def test_images_of_several_files() -> None:
    assert list(options("one.toml", "matrix.toml", "two.toml")) == [
        "one",
        "matrix-osg",
        "matrix-prominence",
        "two",
    ]


def test_several_images_go_to_a_folder(folder: Path, capsys: Captured) -> None:
    (folder / "images").mkdir()
    found = options("matrix.toml", "-o", "images")
    assert [one.output for one in found.values()] == [
        Path("images/matrix-osg.qcow2"),
        Path("images/matrix-prominence.qcow2"),
    ]
    assert options("one.toml", "-o", "images")["one"].output == Path("images/one.qcow2")
    assert error(capsys, "matrix.toml", "-o", "w.qcow2") == (
        "--output w.qcow2 is not a folder, and there are several images. Give an existing folder."
    )


def test_every_option_is_of_the_image_or_of_the_build_host() -> None:
    host = {
        *("--output", "--verify", "--mirror", "--dry-run", "--explain", "--base-url", "--offline"),
        *("--forbid-eol", "--engine", "--accel", "--checkpoints", "--jobs", "--keep-failed", "--list-seal"),
        *("--refresh", "--lock", "--snapshot", "--snapshot-mirror", "--submit", "--wait"),
        *("--submit-files", "--submit-dir", "--submit-program", "--submit-container", "--submit-command"),
        *("--submit-status", "--submit-retries", "--rebuild-base", "--repository-url", "--packer-files"),
        *("--print-definition", "--print-schema", "--sign", "--passphrase-file"),
        *("--list-bases", "--list-roles", "--json", "--verbose", "--quiet", "--version", "--help"),
    }
    known = {flag for action in bake.parser()._actions for flag in action.option_strings if flag[1] == "-"}
    assert known == host | set(images.KEYS)


@pytest.mark.parametrize("flag", images.KEYS)
def test_an_option_that_a_definition_replaces_is_refused(flag: str, capsys: Captured) -> None:
    action = bake.parser()._option_string_actions[flag]
    value = () if action.nargs == 0 else (str(next(iter(action.choices or ["9"]))),)
    said = error(capsys, "one.toml", flag, *value)
    assert said == f"{flag} cannot be used with a definition file. Set {images.KEYS[flag]} in one.toml."


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("debian13", "Did you mean --base debian13?"),
        ("rocky", "Did you mean --base rocky10?"),
        ("apptaner", "Did you mean --with apptainer?"),
        ("prominence", "Did you mean --worker prominence?"),
        ("one", "Did you mean one.toml?"),
        ("xyzzy", "Give the path of a TOML file."),
    ],
)
def test_a_word_that_is_no_file(word: str, hint: str, capsys: Captured) -> None:
    assert error(capsys, word) == f"There is no definition file {word!r}. {hint}"


def test_a_missing_file(capsys: Captured) -> None:
    assert error(capsys, "tow.toml") == "There is no file tow.toml. Did you mean two.toml?"


def test_an_error_of_the_plan_names_file_line_and_key(folder: Path, capsys: Captured) -> None:
    (folder / "c.toml").write_text('format = "oci"\nkernel-arguments = ["a"]\n')
    problem = "A container image cannot have kernel arguments. The host's kernel runs it."
    assert error(capsys, "c.toml", "--dry-run") == f"c.toml:2: kernel-arguments: {problem}"


def test_an_error_of_the_plan_names_the_image(folder: Path, capsys: Captured) -> None:
    (folder / "c.toml").write_text('[services]\nenable = ["condor"]\n')
    assert error(capsys, "c.toml", "--dry-run").endswith("\nWhere: the image c")


def test_dry_run_and_explain(capsys: Captured) -> None:
    for option in ("--dry-run", "--explain"):
        assert bake.main(["one.toml", option]) == 0
        of_one = capsys.readouterr().out
        assert bake.main([option]) == 0
        assert capsys.readouterr().out == of_one
        assert bake.main(["one.toml", "two.toml", option]) == 0
        of_two = capsys.readouterr().out
        assert of_two.startswith("== one\n") and "\n\n== two\n" in of_two
        assert of_one in of_two


def test_dry_run_and_explain_as_json(capsys: Captured) -> None:
    _, plan = make_plan(Options())
    assert bake.main(["one.toml", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == plan.id
    assert bake.main(["one.toml", "two.toml", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["images"]
    assert [(one["label"], one["plan"]["kind"]) for one in found] == [("one", "osg"), ("two", "prominence")]
    assert bake.main(["one.toml", "two.toml", "--explain", "--json"]) == 0
    assert [one["label"] for one in json.loads(capsys.readouterr().out)["images"]] == ["one", "two"]


def test_an_image_of_the_store_is_found_by_its_definition(folder: Path, capsys: Captured) -> None:
    [wanted] = options("two.toml").values()
    store = Store(folder / "cache")
    image = store.image(make_plan(wanted)[1])
    (folder / "image").write_bytes(b"an image")
    manifest = {"id": "1" * 64, "size": len(b"an image"), "proof": {}}
    commit(folder / "image", image, manifest)
    assert bake.main(["two.toml", "--verify", "none"]) == 0
    assert capsys.readouterr().out == f"{image}\n"


def test_packer_files_are_for_one_image(capsys: Captured) -> None:
    said = error(capsys, "matrix.toml", "--packer-files", "x")
    assert said == "--packer-files is for one image. Give a definition of one image."


def test_the_schema_is_printed(capsys: Captured) -> None:
    assert bake.main(["--print-schema"]) == 0
    assert capsys.readouterr().out == schema.FILE.read_text("utf-8")
