"""gen-userdata from its command line to its exit code."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery import userdata
from bakery.commands.gen_userdata import main
from provisioner import errors

CANARY = "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.c2lnbmF0dXJl"
PROJECT = ("--project", "TG-ABC123")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(CANARY + "\n")
    path.chmod(0o600)
    return str(path)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def conf_of(text: str) -> dict[str, str]:
    return userdata.parse_conf(userdata.carried(text))


Captured = pytest.CaptureFixture[str]


def test_the_documented_call(token_file: str, capsys: Captured) -> None:
    assert main(["--token-file", token_file, *PROJECT]) == 0
    said = capsys.readouterr()
    assert conf_of(said.out) == {"Token": CANARY, "Start": 'TARGET.ProjectName == "TG-ABC123"'}
    assert said.out.startswith("#!/bin/bash\n")
    assert said.err == ""


def test_all_options(token_file: str, capsys: Captured) -> None:
    more = ["--owner", "alice", "--project", "TG-B", "--start", "TARGET.X", "--start", "Y || Z"]
    worker = ["--group-name=-x", "--pool", "[::1]:9618", "--idle-minutes", "20"]
    form = ["--format", "cloud-config"]
    assert main(["--token-file", token_file, *PROJECT, *more, *worker, *form]) == 0
    named = '(TARGET.ProjectName == "TG-ABC123" || TARGET.ProjectName == "TG-B" '
    assert conf_of(capsys.readouterr().out) == {
        "WorkerGroupName": "-x",
        "Token": CANARY,
        "Start": f'{named}|| TARGET.Owner == "alice") && (TARGET.X) && (Y || Z)',
        "CentralManager": "[::1]:9618",
        "IdleTimeout": "1200",
    }


@pytest.mark.parametrize("option", ["--token", "--token-file"])
def test_the_token_from_standard_input(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    stdin(monkeypatch, CANARY.encode() + b"\r\n")
    assert main([option, "-", "--anyone"]) == 0
    said = capsys.readouterr()
    assert conf_of(said.out) == {"Token": CANARY, "Start": "True"}
    assert said.err == ""


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["--token", "-", "--anyone"]) == 2
    assert "Standard input is closed" in capsys.readouterr().err


def test_a_token_on_the_command_line_is_warned_about(capsys: Captured) -> None:
    assert main(["--token", CANARY, *PROJECT]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("warning: --token shows the token to everybody")
    assert CANARY not in said.err


def test_a_world_readable_token_file_is_warned_about(token_file: str, capsys: Captured) -> None:
    Path(token_file).chmod(0o644)
    assert main(["-q", "--token-file", token_file, *PROJECT]) == 0
    assert "Everybody on this machine can read" in capsys.readouterr().err


def test_output_is_private_and_whole(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "user-data"
    out.write_text("x" * 10_000)
    out.chmod(0o666)
    before = os.umask(0)
    try:
        assert main(["--token-file", token_file, *PROJECT, "-o", str(out)]) == 0
    finally:
        os.umask(before)
    said = capsys.readouterr()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert conf_of(out.read_text())["Token"] == CANARY
    assert said.out == ""
    assert said.err == f"note: {out} holds the token; only you can read it.\n"
    assert names_in(tmp_path) == ["token", "user-data"]


def test_nothing_is_written_when_refused(token_file: str, tmp_path: Path) -> None:
    assert main(["--token-file", token_file, "-o", str(tmp_path / "out")]) == 2
    assert names_in(tmp_path) == ["token"]


def test_json(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["--json", "--token-file", token_file, "--group-name", "é", *PROJECT]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.keys() == {"format", "bytes", "user_data"}
    assert (said["format"], said["bytes"]) == ("script", len(said["user_data"].encode()))
    out = tmp_path / "out"
    assert main(["--json", "--token", CANARY, *PROJECT, "-q", "-o", str(out)]) == 0
    captured = capsys.readouterr()
    written = {"format": "script", "bytes": out.stat().st_size, "output": str(out)}
    assert json.loads(captured.out) == written
    assert json.loads(captured.err)["event"] == "warning"
    assert CANARY not in captured.err + captured.out


def test_verbose_and_quiet(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["-v", "--token-file", token_file, *PROJECT]) == 0
    assert capsys.readouterr().err == 'note: Start = TARGET.ProjectName == "TG-ABC123"\n'
    assert main(["-q", "--token-file", token_file, *PROJECT, "-o", str(tmp_path / "o")]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_dash_is_standard_output(token_file: str, capsys: Captured) -> None:
    assert main(["--token-file", token_file, *PROJECT, "-o", "-"]) == 0
    assert capsys.readouterr().out.startswith("#!/bin/bash")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Whose jobs is the worker to run?"),
        (["--anyone", *PROJECT], "Anyone's jobs, or only some?"),
        (["--project", 'A" || "'], "is not the name of a project"),
        (["--owner", ""], "is not the name of an owner"),
        (["--start", ""], "Start is empty"),
        (["--start", "True\nToken = x"], "Start has a line break at position 5"),
        (["--start", "A) || (B", *PROJECT], "closes nothing"),
        ([*PROJECT, "--group-name", ""], "--group-name is empty"),
        ([*PROJECT, "--group-name", "a\nb"], "WorkerGroupName has a line break"),
        ([*PROJECT, "--group-name", "a "], "begins or ends with a blank"),
        ([*PROJECT, "--pool", ""], "--pool is empty"),
        ([*PROJECT, "--pool", "cm:0"], "0 is no port"),
        ([*PROJECT, "--idle-minutes", "0"], "--idle-minutes must be 1 or more"),
        ([*PROJECT, "--idle-minutes", "99999999999"], "IdleTimeout must be"),
        ([*PROJECT, "--tokn=" + CANARY], "no option (--tokn)"),
        ([*PROJECT, CANARY], "no option."),
        ([*PROJECT, "-o", "/dev/null"], "not a regular file"),
        ([*PROJECT, "-o", "/no/such/folder/x"], "Cannot write /no/such/folder/x"),
    ],
)
def test_bad_input_is_2_and_says_what(
    words: list[str], says: str, token_file: str, capsys: Captured
) -> None:
    assert main(["--token-file", token_file, *words]) == errors.BadInput.exit_code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert says in said.err
    assert CANARY not in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["--token", CANARY, "--token-file", CANARY, "--anyone"],
        ["--token", CANARY, "--format", CANARY, "--anyone"],
        ["--token", CANARY, "--idle-minutes", CANARY, "--anyone"],
        ["--token", CANARY, "--anyone=" + CANARY],
        ["--anyone", CANARY],
        [],
    ],
)
def test_bad_usage_is_2_and_keeps_the_token(words: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert said.err.startswith("usage: gen-userdata")
    assert CANARY not in said.err + said.out


@pytest.mark.parametrize(
    "token", ["", CANARY + " ", CANARY + "\n", f"{CANARY}é", f"a {CANARY}", CANARY + "\udce9"]
)
def test_a_bad_token_is_not_shown(token: str, capsys: Captured) -> None:
    assert main(["--token", token, *PROJECT]) == 2
    assert CANARY not in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"\n", b"a b\n", b"a\nb\n", b"\xff\xfe", b"a\x00"])
def test_a_bad_token_file_is_2(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(data)
    assert main(["--token-file", str(path), *PROJECT]) == 2


def test_a_token_instead_of_a_file(tmp_path: Path, capsys: Captured) -> None:
    assert main(["--token-file", CANARY, *PROJECT]) == 2
    assert main(["--token-file", str(tmp_path / "none"), *PROJECT]) == 2
    assert main(["--token-file", str(tmp_path), *PROJECT]) == 2
    assert main(["--token-file", "/dev/zero", *PROJECT]) == 2
    said = capsys.readouterr().err
    assert CANARY not in said
    assert "wants the name of a file" in said
    assert "No such file or directory" in said
    assert "Is a directory" in said


def test_version_and_help(capsys: Captured) -> None:
    for word in ("--version", "--help"):
        with pytest.raises(SystemExit) as caught:
            main([word])
        assert caught.value.code == 0
        assert "gen-userdata" in capsys.readouterr().out
