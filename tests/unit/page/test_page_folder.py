"""worker-bakery page: its folder, its preset, and Pyodide's package."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from bakery.commands.page.command import main
from bakery.page import folder, preset, runtime
from bakery.page.preset import Preset
from provisioner.errors import BadInput, BakeryError, MissingHere, WrongChecksum
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


FILES = {"index.html": b"<p>", "a/one.mjs": b"1", "a/two.mjs": b"2"}


def marked(found: Mapping[str, bytes]) -> Mapping[str, bytes]:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
    return {**found, folder.MARK: json.dumps({"sha256": digests}).encode()}


def tree(target: Path) -> dict[str, bytes]:
    return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*") if p.is_file()}


@pytest.mark.parametrize("kind", ["file", "folder", "link", "changed", "below"])
def test_files_of_others_are_named_and_stay(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "page"
    folder.write(marked(FILES), target)
    path = target / {"changed": "index.html", "below": "a/precious"}.get(kind, "precious")
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path)
    else:
        path.write_text("mine")
    before = sorted(target.rglob("*")), tree(target)
    with pytest.raises(BadInput, match=f"did not write.*{path.relative_to(target)}"):
        folder.write(marked({**FILES, "new": b""}), target)
    assert (sorted(target.rglob("*")), tree(target)) == before


@pytest.mark.parametrize("mark", ["{}", "[]", "x", '{"sha256": 1}', '{"sha256": {}}', "[" * 50000])
def test_a_file_with_the_name_of_the_mark_permits_nothing(tmp_path: Path, mark: str) -> None:
    (tmp_path / folder.MARK).write_text(mark)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match="is not a page of worker-bakery"):
        folder.write(marked(FILES), tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_a_mark_cannot_name_files_outside_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    digest = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / folder.MARK).write_text(json.dumps({"sha256": {"../thesis.tex": digest}}))
    folder.write(marked(FILES), tmp_path / "page")
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_the_files_of_another_version_are_replaced_in_place(tmp_path: Path) -> None:
    target = tmp_path / "page"
    folder.write(marked(FILES), target)
    inode = target.stat().st_ino
    new = marked({"index.html": b"<b>", "b/one.mjs": b"1"})
    folder.write(new, target)
    assert tree(target) == new and target.stat().st_ino == inode
    assert not (target / "a").exists()


@pytest.mark.parametrize("after", range(1, 12))
def test_a_run_after_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The process ends at any of its renames; the next one ends its work."""
    target = tmp_path / "page"
    folder.write(marked(FILES), target)
    left = iter(range(after))
    rename = Path.replace

    def replace(self: Path, other: Path) -> Path:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return rename(self, other)

    new = marked({"index.html": b"<b>", "a/one.mjs": b"3", "b/one.mjs": b"1"})
    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(Path, "replace", replace)
        folder.write(new, target)
    folder.write(new, target)
    assert tree(target) == new


def test_the_folder_may_be_a_link_or_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("real/page")
    for _ in range(2):  # the link dangles at first
        folder.write(marked(FILES), tmp_path / "link")
        assert (tmp_path / "link").is_symlink() and tree(tmp_path / "real" / "page") == marked(FILES)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder.write(marked(FILES), Path())
    assert tree(tmp_path / "here") == marked(FILES)


def test_a_web_server_can_read_what_is_written(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        folder.write(marked(FILES), tmp_path / "page")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()} == {0o644}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()} == {0o755}


@pytest.mark.parametrize("path", ["file/x", "file", "loop", "/proc/none/x", "x" * 300])
def test_a_place_that_cannot_be_a_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BakeryError, match=r"Cannot write|is not a folder"):
        folder.write(marked(FILES), tmp_path / path)
    assert (tmp_path / "file").read_text() == "x"


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


# --- licenses ------------------------------------------------------------------------------------

# What each text must have, so that it is the whole license of the right software.
LICENSES = {
    "worker-bakery.txt": ("Apache License", "END OF TERMS AND CONDITIONS"),
    "PyYAML.txt": ("Ingy d", "Kirill Simonov", "WITHOUT WARRANTY OF ANY KIND"),
    "MPL-2.0.txt": ("Mozilla Public License Version 2.0", "Exhibit B"),
    "Python.txt": (
        *(
            "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2",
            "CNRI LICENSE AGREEMENT",
            "CWI LICENSE AGREEMENT",
        ),
        *(
            "Mersenne Twister",
            "expat\n---",
            "libffi\n---",
            "zlib\n---",
            "libmpdec\n---",
            "UNICODE LICENSE V3",
        ),
        *("Zstandard bindings", "mimalloc\n---", "SipHash24\n---"),
    ),
    "bzip2.txt": ("Julian R Seward", "EVEN IF ADVISED"),
    "XZ.txt": ("Permission to use, copy, modify, and/or distribute", "WITH THE USE OR PERFORMANCE"),
    "Zstandard.txt": ("Meta Platforms", "Redistributions in binary form", "EVEN IF ADVISED"),
    "SQLite.txt": ("public domain",),
    "Emscripten.txt": ("Emscripten authors", "Neither the names of Mozilla", "Joyent", "musl libc"),
    "musl.txt": ("Rich Felker", "Sun Microsystems", "Ville Laurikari"),
    "LLVM.txt": ("Apache License", "LLVM Exceptions to the Apache 2.0 License", "University of Illinois"),
}


def test_each_component_has_the_whole_text_of_its_license(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pyodide_package.small(tmp_path, monkeypatch)
    found = folder.files(runtime.files(package.read_bytes()), Preset())
    texts = {Path(name).name: data.decode() for name, data in found.items() if name.startswith("licenses/")}
    listed = re.findall(r"^  (\S+\.txt) ", texts.pop("README.txt"), re.MULTILINE)
    assert sorted(listed) == sorted(texts) == sorted(LICENSES)
    for name, words in LICENSES.items():
        assert [word for word in words if word not in texts[name]] == [], name


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
        ('title = "a\\u202eb"', "title is not one line .* U\\+202E RIGHT-TO-LEFT OVERRIDE"),
        ("title = " + "[" * 30000, "nested too deeply"),
        ('trust-domain = "a"\ntrust_domain = "b"', "there twice"),
        ('worker = "prominence"\nhide = ["region"]', "hide has region, which a PROMINENCE worker requires"),
        ('worker = "prominence"\nhide = ["pool"]', "hide has pool, but there is no pool"),
        ('title = "eyJhbGciOi.eyJhbGciOi.abc"', "contains a token"),
    ],
)
def test_a_wrong_preset(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "preset.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        preset.read(path)


def test_a_preset_of_an_editor_and_of_a_typographer(tmp_path: Path) -> None:
    path = tmp_path / "preset.toml"
    path.write_text('\ufefftitle = "Workers\u00a0of Campus"\nhide = ["trust-domain"]\n', "utf-8")
    assert preset.read(path) == Preset(title="Workers\u00a0of Campus", hide=("trust_domain",))


def test_a_pool_of_the_site_is_named_by_its_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "pools.toml"
    site.write_text('[[pool]]\nname = "campus"\nmanagers = ["cm.example.edu"]\n')
    monkeypatch.setenv("WORKER_BAKERY_POOLS", str(site))
    (tmp_path / "preset.toml").write_text('pool = "campus"')
    with pytest.raises(BadInput, match=r"which the page does not have; use cm\.example\.edu"):
        preset.read(tmp_path / "preset.toml")
