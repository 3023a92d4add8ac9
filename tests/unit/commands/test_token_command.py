"""The command token: its outputs (tests/golden/token), exit codes, and that it prints no token."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.commands.token.command import main
from bakery.tokens.claims import claims_of
from tests.unit.userdata.test_token import NOW, POOL, made

GOLDEN = Path(__file__).parent.parent.parent / "golden" / "token"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The time, the folder and the signals of a test."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def write(name: str, *lines: str, mode: int = 0o600) -> str:
    path = Path(name)
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(mode)
    return name


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


HOSTILE = {"iss": "x\x1b[2J\n", "sub": "a@b\x07", "scope": "condor:/\x1b condor:/READ", "email": "me@x"}
CASES: dict[str, tuple[dict[str, object], tuple[str, ...], int]] = {
    "good": ({}, ("--pool", "ospool"), 0),
    "expired": ({"exp": NOW - 7200}, (), 2),
    "forever": ({"exp": None, "scope": None, "iat": None}, (), 0),
    "strict": ({"exp": None}, ("--strict",), 2),
    "foreign": ({"iss": "cm.other.example"}, ("--trust-domain", POOL), 2),
    "pool": ({"iss": "cm.other.example"}, ("--pool", "cm.example"), 0),
    "too-short": ({"exp": NOW + 6 * 86400 + 5}, ("--valid-for", "7d"), 2),
    "mighty": ({"scope": "condor:/ADMINISTRATOR condor:/ADVERTISE_STARTD"}, (), 2),
    "no-jti": ({"jti": None, "nbf": NOW + 86400}, (), 2),
    "hostile": (dict(HOSTILE), (), 2),
    "foreign-service": ({"header": {"alg": "RS256", "kid": None}, "aud": "https://x"}, (), 2),
}


@pytest.mark.parametrize("name", CASES)
def test_inspect(name: str, capsys: Captured) -> None:
    changes, options, status = CASES[name]
    text = made(**changes)  # type: ignore[arg-type]  # of a table
    assert main(["inspect", *options, write("token", "# of us", text)]) == status
    output = capsys.readouterr()
    assert output.err == ""
    golden(f"inspect-{name}.txt", output.out)
    assert all(part not in output.out for part in text.split("."))


def test_inspect_several_tokens(capsys: Captured) -> None:
    lines = (made(iss="cm.other.example"), made(), made(exp=1))
    assert main(["inspect", write("token", *lines)]) == 2
    golden("inspect-several.txt", capsys.readouterr().out)
    assert main(["inspect", "--trust-domain", "cm.other.example", "token"]) == 0
    assert "2 tokens of other issuers are not judged." in capsys.readouterr().out


def test_inspect_a_file_that_htcondor_ignores(capsys: Captured) -> None:
    Path("tokens.d").mkdir()
    assert main(["inspect", write("tokens.d/pool.sh", made(), mode=0o644)]) == 2
    golden("inspect-file.txt", capsys.readouterr().out)


def test_inspect_as_json(capsys: Captured) -> None:
    text = made(email="me@example.org")
    assert main(["inspect", "--json", write("token", text)]) == 0
    output = capsys.readouterr().out
    golden("inspect.json", json.dumps(json.loads(output), indent=1) + "\n")
    assert "me@example.org" not in output


def test_inspect_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(made().encode())))
    assert main(["inspect", "-q"]) == 0
    assert capsys.readouterr().out == "standard input: usable\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("aaabbb...", "placeholder"),
        ("hello", "not an HTCondor IDTOKEN"),
        ("# nothing", "contains no token"),
    ],
)
def test_inspect_what_is_no_token(text: str, words: str, capsys: Captured) -> None:
    assert main(["inspect", write("token", text)]) == 2
    output = capsys.readouterr()
    assert words in output.out + output.err


@pytest.mark.parametrize("verb", [["inspect"], ["check", "--pool", "cm.example"]])
def test_a_token_as_an_argument_is_not_printed(verb: list[str], capsys: Captured) -> None:
    assert main([*verb, made()]) == 2
    output = capsys.readouterr()
    assert "FILE is the name of a file, not a token" in output.err
    assert made().split(".")[1] not in output.out + output.err


# --- create -------------------------------------------------------------------------------------


def create(*more: str) -> int:
    key = Path("POOL")
    if not key.exists():
        key.touch(mode=0o600)
        key.write_bytes(b"k" * 64)
    return main(["create", "--issuer", "cm.example", "--key", "POOL", *more])


def test_create(capsys: Captured) -> None:
    assert create("--identity", "worker@cloud", "-o", "token") == 0
    output = capsys.readouterr()
    assert output.out == ""
    golden("create.txt", output.err)
    path = Path("token")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    claims = claims_of(path.read_text().strip())
    assert claims
    assert claims.expires == NOW + 7 * 86400
    assert path.read_text().strip() not in output.err


def test_create_under_any_umask() -> None:
    before = os.umask(0)
    try:
        assert create("--identity", "worker@cloud", "-o", "token") == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("token").stat().st_mode) == 0o600


def test_create_for_many(capsys: Captured) -> None:
    users = write("users.txt", "alice@cloud", "bob@cloud  # new")
    assert create("--for", users, "-o", "tokens", "--lifetime", "12h", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in result["tokens"]] == ["tokens/alice@cloud.jwt", "tokens/bob@cloud.jwt"]
    assert {row["expires"] for row in result["tokens"]} == {NOW + 43200}
    assert stat.S_IMODE(Path("tokens").stat().st_mode) == 0o700
    for row in result["tokens"]:
        claims = claims_of(Path(row["file"]).read_text().strip())
        assert claims
        assert claims.subject == row["identity"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--identity", "worker", "-o", "t"], "'worker' is not an identity"),
        (["--identity", "a@b"], "-o FILE is required"),
        (["--identity", "a@b", "-o", "-"], "-o FILE is required"),
        (["--identity", "a@b", "-o", "no/t"], "There is no folder no"),
        (["--identity", "a@b", "-o", "t", "--lifetime", "0"], "between 1 second and 20 years"),
        (["--identity", "a@b", "-o", "t", "--lifetime", "ever"], "is not a duration"),
        (["--identity", "a@b", "-o", "t", "--authz", "ADVERTIZE_STARTD"], "Did you mean ADVERTISE_STARTD"),
        (["--identity", "a@b", "-o", "t", "--issuer", "a b"], "is not a trust domain"),
        (["--identity", "a@b", "-o", "t", "--key-name", "a/b"], "--key-name is the name of a key"),
        (["--identity", "a@b", "-o", "t", "--key", "none"], "Cannot read the signing key none"),
        (["--for", "none", "-o", "t"], "Cannot read none"),
    ],
)
def test_create_refuses(more: list[str], words: str, capsys: Captured) -> None:
    assert create(*more) == 2
    assert words in capsys.readouterr().err
    assert not Path("t").exists()


def test_create_refuses_a_key_that_others_can_read(capsys: Captured) -> None:
    assert create("--identity", "a@b", "-o", "t") == 0
    Path("POOL").chmod(0o644)
    assert create("--identity", "a@b", "-o", "u") == 2
    assert "Other users have access to the signing key POOL (mode 0644)" in capsys.readouterr().err
    assert not Path("u").exists()


def test_no_input_is_overwritten(capsys: Captured) -> None:
    """Above all not the key of the pool."""
    assert create("--identity", "a@b", "-o", "POOL") == 2
    assert "POOL is an input file" in capsys.readouterr().err
    assert Path("POOL").read_bytes() == b"k" * 64
    user = write("user", "secret")
    assert main(["fetch", "--url", "https://127.0.0.1:1", "--user-token-file", user, "-o", user]) == 2
    assert "user is an input file" in capsys.readouterr().err


def test_create_warns_about_too_much(capsys: Captured) -> None:
    assert create("--identity", "a@b", "-o", ".t", "--authz", "ADMINISTRATOR") == 0
    said = capsys.readouterr().err
    assert "warning: The token allows its holder to administer the pool: ADMINISTRATOR." in said
    assert "warning: HTCondor ignores a token file with the name .t." in said


def test_check_does_not_send_a_token_without_a_subject(capsys: Captured) -> None:
    """A collector of HTCondor 23.9 would abort. (A connection in a unit test fails.)"""
    assert main(["check", "--pool", "cm.example", write("token", made(sub=None))]) == 2
    assert "cm.example was not asked." in capsys.readouterr().out


@pytest.mark.parametrize("text", ["hello", "aaabbb...", "a.b.c"])
def test_check_does_not_send_what_is_no_token(text: str, capsys: Captured) -> None:
    assert main(["check", "--pool", "cm.example", "--json", write("token", text)]) == 2
    result = json.loads(capsys.readouterr().out)
    assert (result["authorized"], result["version"]) == (False, "")
    assert result["levels"][0]["reason"]


def test_check_requires_a_pool(capsys: Captured) -> None:
    assert main(["check", write("token", made())]) == 2
    assert "--pool is required" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["fetch", "request"])
def test_the_identity_of_a_token_of_others_is_shown_harmlessly(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    token = made(sub="a\x1b[2J@b")
    if verb == "fetch":
        monkeypatch.setattr("bakery.commands.token.fetch.fetched", lambda *_: token)
        argv = ["fetch", "--url", "https://prominence.example", "-o", "token"]
    else:
        monkeypatch.setattr("bakery.tokens.condor_request.wait_for_token", lambda *_: token)
        argv = ["request", "--pool", "cm.example", "--identity", "a@b", "-o", "token"]
    assert main(argv) == 0
    output = capsys.readouterr()
    assert "a?[2J@b" in output.err
    assert "\x1b" not in output.out + output.err
    assert claims_of(Path("token").read_text().strip())


def test_the_validity_is_the_lifetime_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Also if the command ends a moment after the time of issue."""
    clock = itertools.count(NOW + 0.5, 0.5)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    assert create("--identity", "worker@cloud", "-o", "token") == 0
    assert "(in 7 days)" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["inspect", "create", "fetch", "request", "check"])
def test_help(verb: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out
