"""The claims of a token, and times in words."""

from __future__ import annotations

import base64

import pytest

from bakery.tokens.claims import LEVELS, claims_of, format_duration, format_relative
from tests.unit.userdata.test_token import made


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7199, "119 minutes"),
        (7200, "2 hours"), (172799, "47 hours"), (172800, "2 days"), (6.9 * 86400, "6 days"),
    ],
)  # fmt: skip
def test_durations_in_words(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_times_in_words() -> None:
    assert format_relative(1000, 400) == "in 10 minutes"
    assert format_relative(400, 1000) == "10 minutes ago"


@pytest.mark.parametrize(
    ("scope", "levels"),
    [
        ("condor:/READ condor:/WRITE", {"READ", "WRITE"}),
        ("condor:/read,condor:/Advertise_Startd", {"READ", "ADVERTISE_STARTD"}),
        ("READ", set()),
        ("openid condor:/READ", {"READ"}),
        (" , ", set()),
    ],
)
def test_scopes_as_htcondor_reads_them(scope: str, levels: set[str]) -> None:
    """Measured: a collector of 23.9 accepts lower case and commas, and ignores other scopes."""
    claims = claims_of(made(scope=scope))
    assert claims
    assert claims.scopes == levels
    assert levels <= set(LEVELS)


def test_claims_of_a_wrong_type_are_empty() -> None:
    claims = claims_of(made(iss=5, sub=["a@b"], header={"kid": 7}))
    assert claims
    assert (claims.issuer, claims.subject, claims.key_name) == ("", "", "")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_no_json(number: str) -> None:
    """Python reads it, but what `token inspect --json` would print is not JSON."""
    header, _, signature = made().split(".")
    text = f'{{"exp":{number}}}'.encode()
    assert claims_of(f"{header}.{base64.urlsafe_b64encode(text).rstrip(b'=').decode()}.{signature}") is None


def test_a_representation_without_claims() -> None:
    claims = claims_of(made(sub="secret@cloud"))
    assert "secret" not in repr(claims)
