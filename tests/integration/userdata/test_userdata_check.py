"""`--check` on the golden cases: a bad case has the finding in its file name, a good case has none."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest

from bakery.commands.userdata import main
from bakery.userdata import request
from bakery.userdata.findings import Finding
from bakery.userdata.lint import names, wrapping
from bakery.userdata.lint.context import TOKEN, Context

Captured = pytest.CaptureFixture[str]
CASES = Path(__file__).parent.parent.parent / "golden" / "userdata_check"
BAD = sorted((CASES / "bad").iterdir())
GOOD = sorted((CASES / "good").iterdir())
NOW = 1_800_000_000  # the tokens in the cases are valid at this time


def check(data: bytes, cloud: str | None = None) -> list[Finding]:
    return wrapping.check(data, Context(now=NOW, cloud=cloud))


def test_there_are_enough_cases() -> None:
    assert len(BAD) >= 30
    assert len(GOOD) >= 15


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.name)
def test_known_bad(path: Path) -> None:
    found = check(path.read_bytes())
    assert path.name.split(".")[0] in {one.id for one in found}, found
    assert {one.id for one in found} <= {*names.NAMES, *request.NAMES}
    assert not any(TOKEN.search(str(one)) for one in found)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_known_good(path: Path) -> None:
    assert check(path.read_bytes()) == []
    if path.suffix != ".gz":
        assert check(gzip.compress(path.read_bytes())) == []


@pytest.mark.parametrize("path", [*BAD, *GOOD], ids=lambda path: path.name)
def test_truncated_user_data_does_not_crash_the_check(path: Path) -> None:
    data = path.read_bytes()[:4000]
    for length in range(0, len(data), max(1, len(data) // 5)):
        check(data[:length])


def test_the_size_limit_is_that_of_the_named_cloud() -> None:
    data = (CASES / "good" / "ours.sh").read_bytes() + b"#" * 20000 + b"\n"
    assert [(one.id, one.severity) for one in check(data)] == [("too-large", "warning")]
    assert [(one.id, one.severity) for one in check(data, "ec2")] == [("too-large", "error")]
    assert check(data, "openstack") == []
    assert [one.id for one in check(gzip.compress(data), "jetstream2")] == ["lost-encoding"]


def test_a_decompression_bomb_does_not_fill_the_memory() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert [one.id for one in check(bomb)] == ["too-large", "broken-gzip"]


def test_check_prints_one_line_for_each_finding(capsys: Captured) -> None:
    bad = CASES / "bad" / "octal-mode.decimal.yaml"
    assert main(["--check", str(bad)]) == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        f"{bad}: error: file 1: YAML does not read the permissions of /etc/osg-worker.conf as octal: "
        "the mode becomes 1130. Write permissions: '0600'. (octal-mode)"
    )
    assert main(["--check", str(CASES / "good" / "users.yaml")]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_with_json(capsys: Captured) -> None:
    assert main(["--json", "--check", str(CASES / "bad" / "unknown-key.yaml")]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert [(one["id"], one["severity"]) for one in found] == [("unknown-key", "warning")]
    assert found[0]["fix"] == "Did you mean packages?"


def test_only_an_error_gives_a_failure_status(capsys: Captured) -> None:
    for name, severity in (("octal-mode.yaml", "warning"), ("not-judged.sh", "note")):
        assert main(["--check", str(CASES / "bad" / name)]) == 0
        assert f"{name}: {severity}: " in capsys.readouterr().out
    assert main(["--strict", "--check", str(CASES / "bad" / "not-judged.sh")]) == 0


def test_options_strict_and_allow(capsys: Captured) -> None:
    words = ["--check", str(CASES / "bad" / "unknown-key.yaml")]
    assert main([*words, "--strict"]) == 2
    assert main([*words, "--strict", "--allow", "unknown-key"]) == 0
    assert main(["--check", "/no/such/file"]) == 2


@pytest.fixture
def cloud_init(worker_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the cloud-init of the worker image on PATH."""
    wrapper = tmp_path / "bin" / "cloud-init"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f'#!/bin/sh\nroot="{worker_root}"\ncp "$3" "$root/root/u"\n'
        'exec chroot "$root" cloud-init schema -c /root/u\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("cloud_init")
def test_the_schema_of_an_installed_cloud_init_is_used() -> None:
    (found,) = check(b"#cloud-config\npackage_update: perhaps\n")
    assert (found.id, found.severity) == ("schema", "warning")
    assert "package_update" in found.message


@pytest.mark.usefixtures("cloud_init")
@pytest.mark.parametrize("path", [path for path in GOOD if path.suffix in (".yaml", ".mime")], ids=str)
def test_cloud_init_accepts_the_good_cases(path: Path) -> None:
    assert check(path.read_bytes()) == []


@pytest.mark.parametrize(
    ("first", "body", "found"),
    [
        ("#!/bin/sh", "cat <(echo x)", [("sh-syntax", "warning")]),
        ("#!/bin/dash", "x=(a b)", [("sh-syntax", "warning")]),
        ("#!/bin/bash", "x=(a b)", []),
        ("#!/bin/sh", "if true; then", [("shell-syntax", "error")]),
        ("#!/bin/sh", "coproc() { :; }", [("sh-syntax", "warning")]),
        ("#!/bin/sh", "echo x", []),
    ],
)
def test_dash_also_parses_a_script_for_sh(first: str, body: str, found: list[tuple[str, str]]) -> None:
    assert shutil.which("dash"), "dash belongs to the base of Debian"
    seen = check(f"{first}\n{body}\n".encode())
    assert [(one.id, one.severity) for one in seen] == found
    assert all("dash, which is sh on Debian" in str(one) or "bash" in str(one) for one in seen)
