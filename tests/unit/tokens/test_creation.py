"""What `token create` accepts: durations, levels, identities; and HTCondor's line for the same token."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakery.tokens import creation, signing, token_file
from bakery.tokens.claims import claims_of
from bakery.tokens.creation import Request
from bakery.tokens.problems import WORKER_NEEDS, problems_of
from provisioner.errors import BadInput

NOW = 1_800_000_000
REQUEST = Request(b"k" * 64, Path("POOL"), "POOL", "cm.example", WORKER_NEEDS, creation.DEFAULT_LIFETIME)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7d", 604800),
        ("12h", 43200),
        ("90min", 5400),
        ("5m", 300),
        ("1w", 604800),
        ("3600", 3600),
        ("1 D", 86400),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert creation.parse_lifetime(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "d", "7 days", "-1d", "0", "0d", "1.5h", "1e9d", "30y", "9999999d", "٣d"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadInput):
        creation.parse_lifetime(text)


def test_a_default_token_has_no_problems() -> None:
    token = REQUEST.token("worker@cloud", NOW)
    assert problems_of(token, trust_domain="cm.example", now=NOW) == []
    claims = claims_of(token)
    assert claims
    assert claims.expires == NOW + 7 * 86400
    assert claims.scopes == {"ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"}


def test_the_line_of_htcondor() -> None:
    assert creation.condor_token_create(REQUEST, "worker@cloud", "my token") == (
        "condor_token_create -identity worker@cloud -key POOL -authz ADVERTISE_STARTD"
        " -authz ADVERTISE_MASTER -authz READ -lifetime 604800 -file 'my token'"
    )


def test_levels_are_known() -> None:
    assert creation.check_scopes(["read", "READ", "Advertise_Startd"]) == ("READ", "ADVERTISE_STARTD")
    with pytest.raises(BadInput, match="Did you mean ADVERTISE_STARTD"):
        creation.check_scopes(["ADVERTISE_START"])


def test_identities_of_a_file() -> None:
    text = "# ours\n\nalice@cloud\n bob+1@x.example  # since May\n"
    assert creation.parse_identities(text, "users.txt") == ["alice@cloud", "bob+1@x.example"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "contains no identity"),
        ("# nobody", "contains no identity"),
        ("alice", "users.txt, line 1: 'alice' is not an identity"),
        ("alice@cloud\nalice@cloud", "line 2: alice@cloud is already in line 1"),
        ("../x@cloud", "is not an identity"),
        (".x@cloud", "is not an identity"),
        ("a b@cloud", "is not an identity"),
        ("a@cloud/x", "is not an identity"),
        ("\x1b[31m@cloud", "is not an identity"),
    ],
)
def test_a_file_that_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        creation.parse_identities(text, "users.txt")
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("identity", ["a@x.sh", "a@x.py", "a@x.pl", "_@x"])
def test_htcondor_reads_the_files(identity: str) -> None:
    assert not token_file.is_ignored(creation.file_name(creation.check_identity(identity)))


# --- signing keys -------------------------------------------------------------------------------


def key_file(folder: Path, content: bytes = b"k" * 64, mode: int = 0o600) -> Path:
    path = folder / "POOL"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_is_read(tmp_path: Path) -> None:
    assert signing.read_key(key_file(tmp_path)) == b"k" * 64


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_key_that_others_can_access_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"mode {mode:04o}"):
        signing.read_key(key_file(tmp_path, mode=mode))


def test_other_keys_that_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", key_file(tmp_path, b""), Path("/dev/null")):
        with pytest.raises(BadInput):
            signing.read_key(path)
    with pytest.raises(BadInput, match="larger"):
        signing.read_key(key_file(tmp_path, bytes(70_000)))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(BadInput, match="not a regular file"):
        signing.read_key(tmp_path / "pipe")
    with pytest.raises(BadInput, match="central manager"):
        signing.read_key(tmp_path / "none")


def test_a_password_ends_before_a_nul_byte() -> None:
    """Of the file, and of what it is unscrambled to (getTokenSigningKey of HTCondor)."""
    whole = b"secret"
    assert signing.derived_key(whole + b"\0\0\0", "POOL", is_password=True) == signing.derived_key(
        whole, "POOL"
    )
    first = b"ab\xbe\xefcd"  # its third byte is unscrambled to NUL
    assert signing.derived_key(first, "POOL", is_password=True) == signing.derived_key(b"ab", "POOL")
    assert signing.derived_key(first, "k", is_password=True) == signing.derived_key(first, "k")
