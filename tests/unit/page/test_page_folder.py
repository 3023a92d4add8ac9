"""worker-bakery page: its folder, its preset, and Pyodide's package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bakery.commands.page.command import main
from bakery.page import folder, preset, runtime
from bakery.page.preset import Preset
from provisioner.errors import BadInput, MissingHere, WrongChecksum
from tests import pyodide_package
from tests.unit.commands.test_gen_userdata_command import signals  # noqa: F401  # a fixture


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """On a machine without Node.js."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path / "cache"))
    return pyodide_package.small(tmp_path, monkeypatch)


@pytest.mark.usefixtures("signals")
def test_the_command_writes_the_folder(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "public" / "page"
    assert main(["-o", str(target), "--pyodide", str(package), "--json"]) == 0
    printed = capsys.readouterr()
    assert "Node.js (node), which compiles Python's library, is not installed" in printed.err
    result = json.loads(printed.out)
    written = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert result["output"] == str(target) and result["files"] == len(written)
    assert {"index.html", "page.js", "worker-bakery.zip", "licenses/MPL-2.0.txt", folder.MARK} <= written
    assert f"{runtime.FOLDER}/pyodide.mjs" in written
    text = (target / "index.html").read_text()
    assert "@version@" not in text and f'data-pyodide="{runtime.FOLDER}"' in text
    first = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert main(["-o", str(target), "--pyodide", str(package), "-q"]) == 0
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == first
    assert [path.name for path in target.parent.iterdir()] == ["page"]


@pytest.mark.usefixtures("signals")
def test_a_folder_with_other_files_is_left_alone(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    assert main(["-o", str(tmp_path / "mine"), "--pyodide", str(package)]) == 2
    assert "is not a page of worker-bakery" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    assert main(["--pyodide", str(package)]) == 2
    assert "Use -o DIR to write the page, or --serve" in capsys.readouterr().err


# --- Pyodide -------------------------------------------------------------------------------------


def test_another_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.tgz").write_bytes(b"x")
    with pytest.raises(WrongChecksum, match=f"is not Pyodide {runtime.VERSION}"):
        runtime.package(tmp_path / "other.tgz", tmp_path)
    with pytest.raises(BadInput, match="is a folder"):
        runtime.package(tmp_path, tmp_path)
    with pytest.raises(BadInput, match="none"):
        runtime.package(tmp_path / "none.tgz", tmp_path)


def test_a_machine_without_npm_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingHere, match=r"Install npm, or name the package .*: --pyodide"):
        runtime.package(None, tmp_path / "cache")


# --- presets -------------------------------------------------------------------------------------


def test_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "campus.toml"
    path.write_text(
        'pool = "cm.example.edu"\ntrust-domain = "example.edu"\ncloud = "ec2"\nhide = ["pool"]\n'
    )
    assert preset.read(path) == Preset(
        pool="cm.example.edu", trust_domain="example.edu", cloud="ec2", hide=("pool",)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pool = [", "is not valid TOML"),
        ('pol = "x"', r"there is no key 'pol'\. Did you mean pool"),
        ("pool = 1", "pool is not a string"),
        ('pool = "a b"', "pool "),
        ('pool = "osppool"', "There is no pool 'osppool'"),
        ('cloud = "aws"', "cloud is none of exosphere"),
        ('hide = ["token"]', "'token'; these can be hidden"),
        ('hide = "pool"', "hide is not a list"),
        ('image = "a\\nb"', "image is not one line"),
        ('title = "eyJhbGciOi.eyJhbGciOi.abc"', "contains a token"),
    ],
)
def test_a_wrong_preset(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "preset.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        preset.read(path)


def test_a_pool_of_the_site_is_named_by_its_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "pools.toml"
    site.write_text('[[pool]]\nname = "campus"\nmanagers = ["cm.example.edu"]\n')
    monkeypatch.setenv("WORKER_BAKERY_POOLS", str(site))
    (tmp_path / "preset.toml").write_text('pool = "campus"')
    with pytest.raises(BadInput, match=r"which the page does not have; use cm\.example\.edu"):
        preset.read(tmp_path / "preset.toml")
