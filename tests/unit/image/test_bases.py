from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

import pytest

from bakery.bake.lookup import bake
from bakery.bake.options import Options, make_plan
from bakery.commands import bake as bake_command
from bakery.image import bases, mkosi
from bakery.image.bases import VendorImage
from bakery.image.mkosi import Build
from bakery.runtime import data
from bakery.runtime.mirror import Mirror
from bakery.store.store import Store
from provisioner.errors import BadInput
from provisioner.events import Silent
from tests.conftest import VENDOR


def write(tmp_path: Path, text: str) -> str:
    (tmp_path / "mine.toml").write_text(text)
    return str(tmp_path / "mine.toml")


def test_every_base_has_the_name_of_its_file() -> None:
    assert {base.name for base in bases.known()} == {path.stem for path in data.BASES.glob("*.toml")}
    assert bases.DEFAULT in {base.name for base in bases.known()}


def test_base_from_a_user_s_toml_file(tmp_path: Path) -> None:
    base = bases.find(write(tmp_path, VENDOR.format(url="file:///nowhere", digest="AB" * 32)))
    assert base.source == VendorImage("file:///nowhere", "ab" * 32)
    assert base.id == "ab" * 32


@pytest.mark.parametrize("name", ["centos4", "../debian13", "/etc/passwd", "", "nowhere/x.toml"])
def test_unknown_base_is_rejected_with_the_available_names(name: str) -> None:
    with pytest.raises(BadInput, match="debian13"):
        bases.find(name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("ab" * 32, "abc"), "64 hexadecimal"),
        (('"debian"\narch', '"plan9"\narch'), "family"),
        (("[image]", "[picture]"), "image"),
        (("x86_64", "vax"), "architecture 'vax'"),
        (("2030-01-01", '"soon"'), "isoformat"),
        (('["bios"]', '["open"]'), "firmware"),
        (("file:///nowhere", "ftp://host/x"), "'ftp' is not a supported scheme"),
        (("file:///nowhere", "https://me:secret@host/x"), "password"),
        (('name = "mine"', "name = "), "not TOML"),
        (('family = "debian"\n', ""), r"mine\.toml: the key family is missing\."),
        (('url = "file:///nowhere"\n', ""), r"\[image\]: the key url is missing"),
        (("sha256", "sha265"), r"\[image\]: there is no key 'sha265'\. Did you mean sha256\?"),
        (("login", "logn"), r"there is no key 'logn'\. Did you mean login\?"),
        (('sha256 = "' + "ab" * 32 + '"', ""), "the key sha256 or sha512 is missing"),
        (
            ("[image]", "[image.x86_64]\nurls = 1\n[image.arm64]"),
            r"\[image\.x86_64\]: there is no key 'urls'",
        ),
        (('architecture = "x86_64"\n', ""), "the key architecture is missing"),
        (("tested = false", 'tested = false\nupdates = "weekly"'), "updates must be a table"),
        (("[image]", "[updates]\nindx = 1\n[image]"), r"\[updates\]: there is no key 'indx'.*index"),
        (("[image]", "[build]\n[image]"), r"\[build\]: the key distribution is missing"),
        (("[image]", "[[image]]"), "image must be a table"),
    ],
)
def test_invalid_file_is_rejected(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        bases.find(write(tmp_path, VENDOR.format(url="file:///nowhere", digest="ab" * 32).replace(*change)))


def test_a_byte_that_is_not_utf_8_is_reported_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b'name = "mine"\ntitle = "\xff"\n')
    with pytest.raises(BadInput) as caught:
        bases.find(str(tmp_path / "mine.toml"))
    assert caught.value.message == f"{tmp_path}/mine.toml is not UTF-8: line 2."


@pytest.mark.parametrize("spelled", ["x86_64", "x86-64", "amd64"])
def test_synonyms_of_an_architecture(spelled: str, tmp_path: Path) -> None:
    text = VENDOR.format(url="file:///nowhere", digest="ab" * 32).replace("x86_64", spelled)
    assert bases.find(write(tmp_path, text), "x86_64").architecture == "x86_64"
    with pytest.raises(BadInput, match="not available for aarch64, only for x86_64"):
        bases.find(write(tmp_path, text), "aarch64")


SEVERAL = """
[image.x86_64]
url = "https://host/x"
sha256 = "{}"
[image.aarch64]
url = "https://host/a"
sha512 = "{}"
"""


def test_one_file_for_several_architectures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = VENDOR.format(url="", digest="").partition("[image]")[0].replace('architecture = "x86_64"', "")
    name = write(tmp_path, text + SEVERAL.format("ab" * 32, "cd" * 64))
    assert bases.find(name, "x86_64").source == VendorImage("https://host/x", "ab" * 32)
    monkeypatch.setattr(bases, "host", lambda: "aarch64")
    base = bases.find(name)
    assert base.source == VendorImage("https://host/a", "cd" * 64, "sha512")
    assert (base.architectures, base.firmware) == (("x86_64", "aarch64"), ("efi",))


@pytest.mark.parametrize("base", bases.known(), ids=lambda base: base.name)
def test_every_base_has_all_optional_fields(base: bases.Base) -> None:
    assert base.htcondor and base.file_system
    assert not base.successor or base.successor in {other.name for other in bases.known()}
    for architecture in base.architectures:
        source = bases.find(base.name, architecture).source
        if isinstance(source, VendorImage):
            assert source.url.startswith("https://")


TODAY = datetime.date(2026, 11, 22)


def test_warning_after_end_of_life_names_the_successor() -> None:
    output = bases.warning(bases.find("centos7", "x86_64"), TODAY)
    assert "2024-06-30" in output
    assert "--base almalinux9" in output
    assert bases.warning(bases.find("almalinux9", "x86_64"), TODAY) == ""


def test_base_is_supported_on_its_last_day() -> None:
    base = bases.find("centos7", "x86_64")
    assert not base.has_ended(datetime.date(2024, 6, 30))
    assert base.has_ended(datetime.date(2024, 7, 1))


def test_forbid_eol() -> None:
    make_plan(Options(base="almalinux9", forbid_eol=True, architecture="x86_64"))
    with pytest.raises(BadInput, match="2024-06-30"):
        make_plan(Options(base="centos7", forbid_eol=True, architecture="x86_64"))


def test_local_file_as_base(tmp_path: Path) -> None:
    (tmp_path / "my image (2).qcow2").write_bytes(b"disk")
    base = bases.local(tmp_path / "my image (2).qcow2", "el9")
    assert (base.name, base.login, base.id) == (
        "my-image-2",
        "cloud-user",
        hashlib.sha256(b"disk").hexdigest(),
    )
    assert bases.warning(base, TODAY) == ""


def test_base_url_requires_a_vendor_image() -> None:
    with pytest.raises(BadInput, match="--base-url"):
        make_plan(Options(base="debian13", base_urls=("http://host/x",)))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--sha256", "ab" * 32], "--sha256 requires --base-image"),
        (["--family", "el9"], "--family requires --base-image"),
        (["--base-image", "disk.qcow2"], "requires --family"),
        (["--arch", "vax"], "--arch"),
        (["--base-url", "ftp://host/x"], "--base-url"),
        (["--base", "centos7", "--arch", "x86_64", "--forbid-eol"], "2024-06-30"),
        (["-o", "/nonexist/x"], "There is no folder /nonexist."),
        (["-o", "/"], "/ is a folder."),
        (["--format", "oci", "--verify", "pool"], "does not support --verify pool"),
        (["--offline", "--rebuild-base"], "cannot be used together"),
        (["--apt-source", "x.sources"], "--apt-source requires an optional role"),
        (["--with", "apptainer", "--apt-source", "/nonexist.sources"], "Cannot read the apt source"),
        (["--mirror", "mirror.example.edu"], "--mirror must be an http, https or file URL."),
        (["--mirror", "http://me:secret@host/"], "--mirror must not contain a user name or a password."),
    ],
)
@pytest.mark.parametrize("how", ["", "--dry-run", "--explain", "--packer-files"])
def test_conflicting_options_are_rejected(
    how: str,
    argv: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also by what only prints or writes the plan; nothing is created."""
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path / "cache"))
    mode = [how, str(tmp_path / "files")] if how == "--packer-files" else [how] if how else []
    assert bake_command.main([*mode, *argv]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "files").exists()


def test_a_token_as_mirror_is_refused_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
    for value in (token, f"http://{token}.example.edu/debian", "not-a-url-but-secret"):
        assert bake_command.main(["--dry-run", "--mirror", value]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("error: --mirror ")
        assert "c2lnbmF0dXJl" not in said.err and "secret" not in said.err


@pytest.mark.parametrize("asked", ["--dry-run", "--explain"])
def test_plan_for_a_base_after_end_of_life_warns(
    asked: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path))
    ended = ["--base", "centos7", "--arch", "x86_64", asked]
    assert bake_command.main(ended) == 0
    assert capsys.readouterr().err.startswith(
        "warning: CentOS Linux 7 reached its end of life on 2024-06-30"
    )
    assert bake_command.main([*ended, "--json"]) == 0
    output = capsys.readouterr()
    assert "2024-06-30" in json.loads(output.err)["text"] and json.loads(output.out)["id"]
    assert bake_command.main(["--base", "almalinux9", "--arch", "x86_64", asked]) == 0
    assert capsys.readouterr().err == ""


def test_offline_conflicts_with_rebuild_base(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--offline"):
        bake(Options(offline=True, rebuild_base=True), Store(tmp_path), Silent())


def test_list_bases_marks_bases_after_end_of_life(capsys: pytest.CaptureFixture[str]) -> None:
    assert bake_command.main(["--list-bases"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(bases.known()) + 1
    assert any(row.startswith("centos7") and "(ended)" in row for row in rows)
    assert bake_command.main(["--list-bases", "--json"]) == 0
    listed = {base["name"]: base for base in json.loads(capsys.readouterr().out)}
    assert (listed["centos7"]["ended"], listed["almalinux9"]["ended"]) == (True, False)
    assert listed["centos7"]["digest"].startswith("sha256:")


def test_id_of_a_built_base_is_reproducible() -> None:
    base = bases.find("debian13")
    assert isinstance(base.source, Build)
    again = bases.find("debian13")
    assert base.id == again.id


def test_mkosi_uses_only_the_given_mirror() -> None:
    base = bases.find("debian13")
    assert isinstance(base.source, Build)
    mirror = Mirror("http://mirror.invalid/debian", "http://mirror.invalid/security")
    files = mkosi.files(base.source, mirror, Path("/packages"))
    text = "\n".join(files.values())
    assert "Mirror=http://mirror.invalid/debian" in files["mkosi.conf"]
    assert {word for word in text.split() if "://" in word and "=" not in word} == {
        "http://mirror.invalid/debian",
        "http://mirror.invalid/security",
    }


def test_id_depends_on_the_disk_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    base = bases.find("debian13")
    before = base.id
    monkeypatch.setattr(mkosi, "_partition", lambda *_: "another")
    assert base.id != before
