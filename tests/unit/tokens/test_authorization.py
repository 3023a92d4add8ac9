"""A collector's reply in words: logs of HTCondor's library (25.14) with a collector of 23.9."""

from __future__ import annotations

from typing import Any

import pytest

from bakery.tokens import authorization
from bakery.tokens.authorization import Reply, judge, parse_replies
from bakery.tokens.claims import Claims, claims_of
from provisioner.errors import BadInput
from tests.unit.userdata.test_token import NOW, made

START = "11/28/26 23:12:02 SECMAN: command 60040 DC_SEC_QUERY to <10.0.2.2:9618> (blocking).\n"
FAILED = (
    "11/28/26 23:12:02 AUTHENTICATE: method 2048 (IDTOKENS) failed.\n"
    "11/28/26 23:12:02 ERROR: AUTHENTICATE:1003:Failed to authenticate with any method\n"
)
NOT_OK = "11/28/26 23:12:02 Server sent status indicating not OK.\n"
ISSUER = (
    "11/28/26 23:12:02 Ignoring token as it is from trust domain x.y (server trust domain is cm.example).\n"
)
KEY = "11/28/26 23:12:02 Ignoring token as it was signed with key other (not known to the server).\n"
HASH = "11/28/26 23:12:02 Hash supplied by server doesn't match that calculated by the client.\n"
DENIED = '11/28/26 23:12:02 ERROR: SECMAN:2010:Received "DENIED" from server for user w@c using method X.\n'
NO_METHOD = (
    "11/28/26 23:12:02 HANDSHAKE: sending (methods == 2048) to server\n"
    "11/28/26 23:12:02 HANDSHAKE: server replied (method = 0)\n"
)
UNKNOWN = "11/28/26 23:12:02 ERROR: SECMAN:1:\x1b[31mboom\n"
OTHER = "11/28/26 23:15:47 IO: Incoming packet header unrecognized : 48 54 54 50 2f\n"
CLOSED = "11/28/26 23:15:47 ERROR: SECMAN:2011:Connection closed during command authorization. Probably\n"


def claims(**changes: Any) -> Claims:
    found = claims_of(made(**changes))
    assert found
    return found


def reply(*lines: str, ahead: float | None = None) -> Reply:
    return Reply(False, START + "".join(lines), version="23.9.6", ahead=ahead)


@pytest.mark.parametrize(
    ("lines", "changes", "words"),
    [
        ((ISSUER, NOT_OK, FAILED), {"iss": "x.y"}, "the trust domain of this collector is cm.example"),
        ((KEY, NOT_OK, FAILED), {"header": {"kid": "other"}}, "signed with the key"),
        ((HASH, FAILED), {}, "signature of the token is wrong"),
        ((DENIED,), {}, "does not authorize w@c for ADVERTISE_STARTD. An administrator"),
        ((DENIED,), {"scope": "condor:/READ"}, "its scope does not include ADVERTISE_STARTD"),
        ((NO_METHOD,), {}, "does not accept tokens (IDTOKENS)"),
        ((NOT_OK, FAILED), {}, "or it is older than SEC_TOKEN_MAX_AGE, or the coll"),
        ((NOT_OK, FAILED), {"exp": None}, "or it is older than SEC_TOKEN_MAX_AGE."),
        ((NOT_OK, FAILED), {"jti": None}, "has no ID (jti), which HTCondor 25 requires"),
        ((UNKNOWN,), {}, "HTCondor reports: ERROR: SECMAN:1:?[31mboom"),
        ((), {}, "The collector does not accept the token."),
    ],
)  # fmt: skip
def test_the_reasons(lines: tuple[str, ...], changes: dict[str, object], words: str) -> None:
    verdict = judge(claims(**changes), "ADVERTISE_STARTD", reply(*lines), NOW)
    assert not verdict.authorized
    assert words in str(verdict)


def test_an_authorized_token_has_no_reason() -> None:
    verdict = judge(claims(), "READ", Reply(True, START, "w@c", "23.9.6", True, 0), NOW)
    assert (verdict.authorized, str(verdict)) == (True, "")


def test_a_clock_that_is_ahead() -> None:
    ahead = reply(NOT_OK, FAILED, ahead=7200)
    verdict = judge(claims(exp=NOW + 600), "ADVERTISE_STARTD", ahead, NOW)
    assert "by the collector's clock, which is at least 2 hours ahead" in verdict.reason
    expired = judge(claims(exp=NOW - 10), "ADVERTISE_STARTD", reply(NOT_OK, ahead=0), NOW)
    assert expired.reason.startswith("The token expired on")
    assert "clock" not in str(expired)
    for known in (0, 30, 500, -7200):  # the token has not expired there
        verdict = judge(claims(exp=NOW + 600), "ADVERTISE_STARTD", reply(NOT_OK, ahead=known), NOW)
        assert verdict.reason.endswith("or it is older than SEC_TOKEN_MAX_AGE.")


@pytest.mark.parametrize(
    ("answer", "query", "collector"),
    [
        ({"collector": True, "version": "$CondorVersion: 25.14.1 2026", "ahead": 5}, "", True),
        ({"collector": False}, CLOSED, False),
        ({"collector": False}, OTHER, False),
        ({"collector": False}, DENIED, None),
    ],
)
def test_what_the_daemon_is(answer: dict[str, object], query: str, collector: bool | None) -> None:
    levels = [{"authorized": False}, {"authorized": True, "identity": "w@c"}]
    found, other = parse_replies({"levels": levels, **answer}, f"{START}---\nother\n---\n{query}")
    assert (found.authorized, other.authorized, other.identity, other.log) == (
        False,
        True,
        "w@c",
        "other\n",
    )
    assert found.ahead == other.ahead == answer.get("ahead")
    assert found.collector is collector
    assert found.version == ("25.14.1" if answer.get("version") else "")
    assert DENIED not in found.log  # of the query


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (reply(OTHER), "is not HTCondor"),
        (reply(CLOSED), "closes the connection"),
        (Reply(True, START, collector=False), "is not a collector"),
    ],
)
def test_no_collector(found: Reply, words: str) -> None:
    error = authorization.no_collector("cm.example", found)
    assert isinstance(error, BadInput)
    assert words in error.message
    assert authorization.no_collector("cm.example", Reply(True, START, collector=None)) is None


@pytest.mark.parametrize("host", ["", "a:b:c", "[::1", "cm.example:0", "cm.example:70000"])
def test_what_is_no_address(host: str) -> None:
    with pytest.raises(BadInput):
        authorization.ask(host, made(), ("READ",))
