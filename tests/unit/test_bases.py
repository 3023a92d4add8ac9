from __future__ import annotations

from pathlib import Path

import pytest

from bakery import bases, data, mkosi
from bakery.bases import VendorImage
from bakery.mirror import Mirror
from bakery.mkosi import Build
from provisioner.errors import BadInput
from tests.conftest import VENDOR


def write(tmp_path: Path, text: str) -> str:
    (tmp_path / "mine.toml").write_text(text)
    return str(tmp_path / "mine.toml")


def test_every_known_base_reads_and_is_named_like_its_file() -> None:
    assert {base.name for base in bases.known()} == {path.stem for path in data.BASES.glob("*.toml")}
    assert bases.DEFAULT in {base.name for base in bases.known()}


def test_a_base_of_one_s_own(tmp_path: Path) -> None:
    base = bases.find(write(tmp_path, VENDOR.format(url="file:///nowhere", digest="AB" * 32)))
    assert base.source == VendorImage("file:///nowhere", "ab" * 32)
    assert base.id == "ab" * 32


@pytest.mark.parametrize("name", ["centos4", "../debian13", "/etc/passwd", "", "nowhere/x.toml"])
def test_an_unknown_base_is_refused_and_the_known_are_named(name: str) -> None:
    with pytest.raises(BadInput, match="debian13"):
        bases.find(name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("ab" * 32, "abc"), "64 hexadecimal"),
        (('"debian"\narch', '"plan9"\narch'), "family"),
        (("[image]", "[picture]"), "image"),
        (('name = "mine"', "name = "), "not TOML"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        bases.find(write(tmp_path, VENDOR.format(url="file:///nowhere", digest="ab" * 32).replace(*change)))


def test_the_recipe_is_the_embedded_base_s_id() -> None:
    base = bases.find("debian13")
    assert isinstance(base.source, Build)
    again = bases.find("debian13")
    assert base.id == again.id


def test_mkosi_is_told_the_machine_s_mirror_and_no_other() -> None:
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


def test_the_layout_of_the_disk_is_part_of_the_base_s_id(monkeypatch: pytest.MonkeyPatch) -> None:
    base = bases.find("debian13")
    before = base.id
    monkeypatch.setattr(mkosi, "_partition", lambda *_: "another")
    assert base.id != before
