"""The command gen-userdata: its options, its output and its exit codes."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from bakery.commands.userdata import main
from bakery.tokens import signing
from bakery.userdata import rendering, token
from provisioner import errors

CANARY = signing.mint(
    bytes(64),
    "POOL",
    issuer="flock.opensciencegrid.org",
    subject="worker@example",
    scopes=["ADVERTISE_STARTD", "ADVERTISE_MASTER"],
    lifetime=90 * 86400,
)
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
    return rendering.parse_conf(rendering.extract_conf(text))


SUMMARY = ("start", "settings", "token_expires", "match", "condor_status")
EXPIRES = token.claims_of(CANARY).expires  # type: ignore[union-attr]  # it has claims
Captured = pytest.CaptureFixture[str]


def test_the_documented_call(token_file: str, capsys: Captured) -> None:
    assert main(["--token-file", token_file, *PROJECT]) == 0
    output = capsys.readouterr()
    assert conf_of(output.out) == {"Token": CANARY, "Start": 'TARGET.ProjectName == "TG-ABC123"'}
    assert output.out.startswith("#!/bin/bash\n")
    until = token.format_time(EXPIRES or 0)
    assert output.err.splitlines() == [
        "note: The worker runs jobs of project TG-ABC123.",
        "note:   a job of project TG-ABC123: would run",
        "note:   a job of project TG-SOMEBODY-ELSE: would not run",
        "note:   a job without a project: would not run (UNDEFINED)",
        "note: It can join the OSPool (cm-1.ospool.osg-htc.org and cm-2.ospool.osg-htc.org) until "
        f"{until}, and powers off after 25 min without a job.",
        "Next: condor_status -pool cm-1.ospool.osg-htc.org  # find the worker, once it has started",
    ]


def test_all_options(token_file: str, capsys: Captured) -> None:
    more = ["--owner", "alice", "--project", "TG-B", "--start", "TARGET.X", "--start", "Y || Z"]
    more += ["--allow", "unknown-attribute", "--allow", "foreign-token", "--strict"]
    more += ["--allow", "accepts-nobody"]
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
    output = capsys.readouterr()
    assert conf_of(output.out) == {"Token": CANARY, "Start": "True"}
    assert "note: The worker runs the jobs of all users.\n" in output.err


def test_no_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["--token", "-", "--anyone"]) == 2
    assert "Standard input is closed" in capsys.readouterr().err


def test_a_token_on_the_command_line_is_warned_about(capsys: Captured) -> None:
    assert main(["--token", CANARY, *PROJECT]) == 0
    output = capsys.readouterr()
    assert output.err.startswith("warning: --token shows the token to all users")
    assert CANARY not in output.err


def test_a_world_readable_token_file_is_warned_about(token_file: str, capsys: Captured) -> None:
    Path(token_file).chmod(0o644)
    assert main(["-q", "--token-file", token_file, *PROJECT]) == 0
    assert "All users of this machine can read" in capsys.readouterr().err


def test_the_output_file_is_private_and_replaced(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "user-data"
    out.write_text("x" * 10_000)
    out.chmod(0o666)
    before = os.umask(0)
    try:
        assert main(["--token-file", token_file, *PROJECT, "-o", str(out)]) == 0
    finally:
        os.umask(before)
    output = capsys.readouterr()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert conf_of(out.read_text())["Token"] == CANARY
    assert output.out == ""
    assert f"note: {out} contains the token; only its owner can read it.\n" in output.err
    assert names_in(tmp_path) == ["token", "user-data"]


def test_nothing_is_written_after_an_error(token_file: str, tmp_path: Path) -> None:
    assert main(["--token-file", token_file, "-o", str(tmp_path / "out")]) == 2
    assert names_in(tmp_path) == ["token"]


def test_json(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["--json", "--token-file", token_file, "--group-name", "é", *PROJECT]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output.keys() == {"format", "bytes", "user_data", "findings", *SUMMARY}
    assert output["condor_status"].endswith("-const 'WorkerGroupName == \"é\"'")
    assert (output["token_expires"], output["findings"]) == (EXPIRES, [])
    assert [match["answer"] for match in output["match"]] == ["yes", "no", "undefined"]
    assert (output["format"], output["bytes"]) == ("script", len(output["user_data"].encode()))
    out = tmp_path / "out"
    assert main(["--json", "--token", CANARY, *PROJECT, "-q", "-o", str(out)]) == 0
    captured = capsys.readouterr()
    written = {"format": "script", "bytes": out.stat().st_size, "output": str(out)}
    assert json.loads(captured.out).items() >= written.items()
    assert json.loads(captured.err)["event"] == "warning"
    assert CANARY not in captured.err + captured.out


def test_verbose_and_quiet(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["-v", "--token-file", token_file, *PROJECT]) == 0
    assert 'note: Start = TARGET.ProjectName == "TG-ABC123"\n' in capsys.readouterr().err
    assert main(["-q", "--token-file", token_file, *PROJECT, "-o", str(tmp_path / "o")]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_token_from_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("WORKER_TOKEN", f"{CANARY}\n")
    assert main([*PROJECT]) == 0
    output = capsys.readouterr()
    assert conf_of(output.out)["Token"] == CANARY
    assert "warning" not in output.err
    assert CANARY not in output.err
    monkeypatch.setenv("WORKER_TOKEN", "")
    assert main([*PROJECT]) == 2
    assert "WORKER_TOKEN is empty" in capsys.readouterr().err


def test_an_option_takes_precedence_over_the_environment(
    token_file: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("WORKER_TOKEN", "another")
    assert main(["--token-file", token_file, *PROJECT]) == 0
    assert conf_of(capsys.readouterr().out)["Token"] == CANARY


def test_the_token_from_a_prompt(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return f" {CANARY}\r"

    monkeypatch.setattr("getpass.getpass", answer)
    assert main(["--start", "a b"]) == 2
    assert asked == [], "other errors are reported before the prompt for the token"
    assert main([*PROJECT]) == 0
    assert conf_of(capsys.readouterr().out)["Token"] == CANARY
    assert len(asked) == 1


def test_a_token_is_required_without_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stdin(monkeypatch, b"")
    assert main([*PROJECT]) == 2
    assert "A token is required. Use --token-file FILE" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["aaabbb...", "<token>", "xxxxx"])
def test_a_placeholder_token_is_rejected(word: str, capsys: Captured) -> None:
    assert main(["--token", word, *PROJECT]) == 2
    output = capsys.readouterr().err
    assert "The token is a placeholder from an example." in output
    assert "--allow placeholder-token" in output
    assert main(["--token", word, *PROJECT, "--allow", "placeholder-token"]) == 0
    assert conf_of(capsys.readouterr().out)["Token"] == word


def test_json_has_the_findings_of_a_failure(token_file: str, capsys: Captured) -> None:
    words = ["--json", "--token-file", token_file, "--start", "nosuch(1)", "--project", "abc123456"]
    assert main(words) == 2
    output = capsys.readouterr()
    found = json.loads(output.out)["findings"]
    assert [(one["id"], one["severity"]) for one in found] == [
        ("unusual-project", "warning"),
        ("failing-start", "error"),
    ]
    assert found[0].keys() == {"id", "severity", "message", "fix", "where"}


def test_json_has_the_error_of_an_invalid_value(token_file: str, capsys: Captured) -> None:
    assert main(["--json", "--token-file", token_file, *PROJECT, "--group-name", "two\nlines"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    event = json.loads(output.err)
    assert (event["event"], event["class"]) == ("error", "BadInput")
    assert event["message"].startswith("WorkerGroupName has a line break")
    assert event["hint"] == "Remove it: the value must be one line of text without control characters."
    assert main(["--json", "--token", CANARY, "--set", f"x={CANARY}", *PROJECT]) == 2
    assert CANARY not in capsys.readouterr().err


def test_the_options_of_the_worker_s_lifecycle(token_file: str, capsys: Captured) -> None:
    words = ["--max-hours", "48.5", "--join-minutes", "10", "--on-idle", "stop", "--idle-minutes", "0.5"]
    words += ["--set", "ExecuteDisk=no", "--set", "LoginGrace=0"]
    assert main(["--token-file", token_file, *PROJECT, *words]) == 0
    output = capsys.readouterr()
    assert list(conf_of(output.out).items())[2:] == [
        ("JoinTimeout", "600"),
        ("IdleTimeout", "30"),
        ("MaxLifetime", "174600"),
        ("OnIdle", "stop"),
        ("LoginGrace", "0"),
        ("ExecuteDisk", "no"),
    ]
    assert "and stops HTCondor (the machine stays on) after 0.5 min without a job." in output.err
    assert "It stops HTCondor at most 48.5 h after boot, and accepts no job that" in output.err


@pytest.mark.parametrize("words", [["--idle-minutes", "0"], ["--on-idle", "none"]])
def test_a_worker_that_does_not_shut_down(words: list[str], token_file: str, capsys: Captured) -> None:
    assert main(["--token-file", token_file, *PROJECT, *words]) == 0
    assert "and does not shut down when it has no job." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "line", "source"),
    [
        (
            ["--worker-token-file", "/run/my token"],
            "TokenFile = /run/my token",
            "the token in its file /run/my token",
        ),
        (
            ["--worker-token-command", "/bin/vault read 'a b'"],
            "TokenCommand = /bin/vault read 'a b'",
            "the token that /bin/vault prints",
        ),
    ],
)
def test_the_worker_fetches_its_token(
    words: list[str],
    line: str,
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    stdin(monkeypatch, b"")
    out = tmp_path / "out"
    assert main([*words, *PROJECT, "-o", str(out)]) == 0
    made, output = out.read_text(), capsys.readouterr().err
    assert f"\n{line}\n" in made
    assert "Token =" not in made
    assert "contains a token:" not in made
    assert f"with {source} (not checked), and powers off" in output
    assert f"{out} contains no token" in output
    monkeypatch.setenv("WORKER_TOKEN", CANARY)
    assert main([*words, *PROJECT]) == 0
    said_now = capsys.readouterr()
    assert CANARY not in said_now.out
    assert "note: WORKER_TOKEN is ignored" in said_now.err
    assert main([*words, *PROJECT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["token_expires"] is None


def test_a_token_in_the_command_for_the_token_is_rejected(capsys: Captured) -> None:
    words = ["--worker-token-command", f"/bin/echo {CANARY}", *PROJECT]
    assert main(words) == 2
    output = capsys.readouterr().err
    assert "--worker-token-command contains a token, which other users could read." in output
    assert CANARY not in output


def test_gzip_and_base64_are_the_same_each_time(token_file: str, tmp_path: Path) -> None:
    out = [tmp_path / name for name in ("plain", "zipped", "again", "text")]
    words = ["-q", "--token-file", token_file, *PROJECT, "-o"]
    for path, more in zip(out, ([], ["--gzip"], ["--gzip"], ["--gzip", "--base64"]), strict=True):
        assert main([*words, str(path), *more]) == 0
    plain, zipped, again, text = (path.read_bytes() for path in out)
    assert gzip.decompress(zipped) == plain
    assert zipped == again
    assert base64.b64decode(text) == zipped


def test_seeds_are_reproducible_and_private(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    words = ["--token-file", token_file, *PROJECT, "--json"]
    for number in ("1", "2"):
        seeds = ["--iso", str(tmp_path / f"iso{number}"), "--seed-dir", str(tmp_path / f"dir{number}")]
        assert main([*words, *seeds]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["seed_dir"] == str(tmp_path / "dir2")
    assert (tmp_path / "iso1").read_bytes() == (tmp_path / "iso2").read_bytes()
    folder = tmp_path / "dir1"
    assert names_in(folder) == ["meta-data", "user-data"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert json.loads((folder / "meta-data").read_text())["instance-id"].startswith("iid-")
    assert conf_of((folder / "user-data").read_text())["Token"] == CANARY


def test_include_creates_a_multi_part(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    own = tmp_path / "own.sh"
    own.write_text("#!/bin/sh\necho hello\n")
    assert main(["--token-file", token_file, *PROJECT, "--include", str(own)]) == 0
    made = capsys.readouterr().out
    assert made.startswith("Content-Type: multipart/mixed;")
    assert "echo hello" in made
    assert conf_of(made)["Token"] == CANARY


def test_user_data_that_is_too_large_for_a_cloud(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    own = tmp_path / "own.sh"
    own.write_text("#!/bin/sh\n" + "echo hello\n" * 2000)
    words = ["--token-file", token_file, *PROJECT, "--include", str(own), "--cloud", "ec2"]
    assert main(words) == 2
    output = capsys.readouterr().err
    assert "more than the limit of EC2 (16384). With --gzip it is" in output
    assert main([*words, "--gzip", "-q", "-o", str(tmp_path / "out")]) == 0


def test_a_dash_selects_standard_output(token_file: str, capsys: Captured) -> None:
    assert main(["--token-file", token_file, *PROJECT, "-o", "-"]) == 0
    assert capsys.readouterr().out.startswith("#!/bin/bash")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "No jobs are selected."),
        (["--anyone", *PROJECT], "--anyone cannot be combined with --project, --owner or --start."),
        (["--project", 'A" || "'], "is not a valid project name"),
        (["--owner", ""], "is not a valid owner name"),
        (["--start", ""], "Start is empty"),
        (["--start", "True\nToken = x"], "Start has a line break at position 5"),
        (["--start", "A) || (B", *PROJECT], "an unmatched )"),
        ([*PROJECT, "--group-name", ""], "--group-name is empty"),
        ([*PROJECT, "--group-name", "a\nb"], "WorkerGroupName has a line break"),
        ([*PROJECT, "--group-name", "a "], "begins or ends with white space"),
        ([*PROJECT, "--pool", ""], "--pool is empty"),
        ([*PROJECT, "--pool", "cm:0"], "0 is not a valid port"),
        ([*PROJECT, "--idle-minutes", "-1"], "--idle-minutes is not a number: '-1'"),
        ([*PROJECT, "--idle-minutes", ""], "--idle-minutes is not a number: ''"),
        ([*PROJECT, "--idle-minutes", "0.001"], "--idle-minutes must be greater than 0.001"),
        (
            [*PROJECT, "--join-minutes", "99999999"],
            "JoinTimeout is not a whole number of seconds between 0",
        ),
        ([*PROJECT, "--max-hours", "0"], "--max-hours must be greater than 0"),
        ([*PROJECT, "--max-hours", "nan"], "--max-hours is not a number: 'nan'"),
        ([*PROJECT, "--max-hours", "1e3"], "--max-hours is not a number: '1e3'"),
        ([*PROJECT, "--max-hours", "8760"], "If this is intended, use --allow outlived-token."),
        ([*PROJECT, "--on-idle", "reboot"], "OnIdle is not one of: poweroff, stop, none, delete"),
        ([*PROJECT, "--set", "ExecuteDisk"], "--set requires Key=value. The keys are GpuJobsOnly, "),
        ([*PROJECT, "--set", "ExecuteDisk="], "--set ExecuteDisk is empty"),
        ([*PROJECT, "--set", "ExecuteDisk=maybe"], "ExecuteDisk is not one of: yes, no"),
        (
            [*PROJECT, "--set", "executedisk=no"],
            "--set does not accept the key 'executedisk'. Did you mean ExecuteDisk?",
        ),
        (
            [*PROJECT, "--set", "IdleTime=1"],
            "--set does not accept the key 'IdleTime'. Use --idle-minutes.",
        ),
        ([*PROJECT, "--set", "LoginGrace=1", "--set", "LoginGrace=2"], "--set LoginGrace is given twice"),
        (
            [*PROJECT, "--set", f"Token={CANARY}"],
            "--set does not accept the key 'Token'. Use --token-file.",
        ),
        ([*PROJECT, "--set", f"{CANARY}=1"], "--set does not accept the key '["),
        ([*PROJECT, "--set", f"LoginGrace={CANARY}"], "--set LoginGrace contains a token"),
        ([*PROJECT, "--tokn=" + CANARY], "not recognized (--tokn)"),
        ([*PROJECT, CANARY], "not recognized."),
        ([*PROJECT, "--include", "x", "--format", "conf"], "--include requires --format mime"),
        ([*PROJECT, "--include", "/no/such/file"], "Cannot read /no/such/file"),
        ([*PROJECT, "--iso", "x", "--base64"], "Omit --base64"),
        (
            [*PROJECT, "--cloud", "jetstream2", "--gzip"],
            "accepts text only, which gzip data is not. Omit --gzip.",
        ),
        ([*PROJECT, "--start", "True; x"], "a ;, which ends the expression"),
        ([*PROJECT, "--start", "a b"], "Start is not a valid ClassAd expression"),
        ([*PROJECT, "--start", "nosuch(1)"], "If this is intended, use --allow failing-start."),
        (["--strict", "--start", "true"], "If this is intended, use --allow accepts-everyone."),
        (["--strict", "--project", "abc123456"], "Did you mean --project TG-ABC123456?"),
        ([*PROJECT, "--trust-domain", "x"], "not by the trust domain x. Use a token of this pool."),
        (["--batch", "x"], "Name a folder: -o DIR."),
        ([*PROJECT, "-o", "/dev/null"], "not a regular file"),
        ([*PROJECT, "-o", "/no/such/folder/x"], "Cannot write /no/such/folder/x"),
    ],
)
def test_invalid_input_exits_with_2_and_an_error(
    words: list[str], message: str, token_file: str, capsys: Captured
) -> None:
    assert main(["--token-file", token_file, *words]) == errors.BadInput.exit_code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert message in output.err
    assert CANARY not in output.err


@pytest.mark.parametrize(
    "words",
    [
        ["--token", CANARY, "--token-file", CANARY, "--anyone"],
        ["--token", CANARY, "--format", CANARY, "--anyone"],
        ["--token", CANARY, "--worker-token-file", "/x", "--anyone"],
        ["--token-file", "x", "--worker-token-command", CANARY, "--anyone"],
        ["--token", CANARY, "--anyone=" + CANARY],
    ],
)
def test_a_usage_error_does_not_show_the_token(words: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    output = capsys.readouterr()
    assert caught.value.code == 2
    assert output.err.startswith("usage: gen-userdata")
    assert CANARY not in output.err + output.out


@pytest.mark.parametrize(
    "token", ["", CANARY + " ", CANARY + "\n", f"{CANARY}é", f"a {CANARY}", CANARY + "\udce9"]
)
def test_a_bad_token_is_not_shown(token: str, capsys: Captured) -> None:
    assert main(["--token", token, *PROJECT]) == 2
    assert CANARY not in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"", b"\n", b"a b\n", b"a\nb\n", b"\xff\xfe", b"a\x00"])
def test_an_invalid_token_file_exits_with_2(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(data)
    assert main(["--token-file", str(path), *PROJECT]) == 2


def test_a_token_as_the_name_of_a_file_is_not_shown(tmp_path: Path, capsys: Captured) -> None:
    assert main(["--token-file", CANARY, *PROJECT]) == 2
    assert main(["--token-file", str(tmp_path / "none"), *PROJECT]) == 2
    assert main(["--token-file", str(tmp_path), *PROJECT]) == 2
    assert main(["--token-file", "/dev/zero", *PROJECT]) == 2
    output = capsys.readouterr().err
    assert CANARY not in output
    assert "takes the name of a file" in output
    assert "No such file or directory" in output
    assert "Is a directory" in output


def test_version_and_help(capsys: Captured) -> None:
    for word in ("--version", "--help"):
        with pytest.raises(SystemExit) as caught:
            main([word])
        assert caught.value.code == 0
        assert "gen-userdata" in capsys.readouterr().out


def test_check_accepts_one_file_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good"
    bad.write_text("nothing\n")
    good.write_text("#cloud-config\nhostname: x\n")
    assert main(["--check", str(good)]) == 0
    assert main(["--check", str(bad), "--check", str(good)]) == errors.BadInput.exit_code
    assert "--check is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("pool", ["ospool,path-dev", "host.example.edu, ospool"])
def test_a_pool_name_in_a_list_of_hosts_is_rejected(
    pool: str, token_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--token-file", token_file, *PROJECT, "--pool", pool]) == errors.BadInput.exit_code
    output = capsys.readouterr().err
    assert "ospool is the name of a pool" in output
    assert "--pool ospool alone" in output


def test_two_trust_domains_are_rejected(token_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    both = ("--set", "TrustDomain=a.example", "--trust-domain", "b.example")
    assert main(["--token-file", token_file, *PROJECT, *both]) == errors.BadInput.exit_code
    assert "--trust-domain and --set TrustDomain=" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--project", "--owner", "--start", "--group-name"])
def test_a_token_in_what_the_pool_shows_is_refused(option: str, token_file: str, capsys: Captured) -> None:
    more = () if option == "--project" else PROJECT
    text = f'TARGET.X == "{CANARY}"' if option == "--start" else CANARY
    assert main(["--token-file", token_file, *more, option, text]) == 2
    output = capsys.readouterr()
    assert output.out == "" and CANARY not in output.err
    assert f"{option} contains a token" in output.err


def test_a_readable_file_that_is_no_token_gets_no_advice(tmp_path: Path, capsys: Captured) -> None:
    """As /etc/passwd would be."""
    path = tmp_path / "accounts"
    path.write_text("root:x:0:0\nalice:x:1000:1000\n")
    path.chmod(0o644)
    assert main(["--token-file", str(path), *PROJECT]) == 2
    assert "chmod" not in capsys.readouterr().err


def test_the_token_is_not_overwritten(token_file: str, tmp_path: Path, capsys: Captured) -> None:
    link = tmp_path / "link"
    link.hardlink_to(token_file)
    for output in (token_file, str(link)):
        assert main(["--token-file", token_file, *PROJECT, "-o", output]) == 2
        assert "is an input file" in capsys.readouterr().err
    assert Path(token_file).read_text() == CANARY + "\n"
