"""Messages about why a worker is not in the pool."""

from __future__ import annotations

import base64
import json
import socket

import pytest
from worker_runtime.configuration import token
from worker_runtime.configuration.servers import Server
from worker_runtime.lifecycle import join
from worker_runtime.lifecycle.join import (
    Answers,
    broker_problem,
    is_due,
    issuer_text,
    obstacle,
    ping_problem,
)
from worker_runtime.system.command import Completed


def jwt(claims: dict[str, object]) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.CANARY"


@pytest.mark.parametrize(
    ("status", "said", "reason"),
    [
        (0, "ADVERTISE_STARTD command using (AES, AES, and IDTOKENS) succeeded", None),
        (
            1,
            "ADVERTISE_STARTD failed!\nAUTHENTICATE:1003:Failed to authenticate with any method\n"
            "AUTHENTICATE:1004:Failed to authenticate using IDTOKENS\n",
            "cm rejected the token (issued by pool.example)",
        ),
        (
            1,
            'ADVERTISE_STARTD failed!\nSECMAN:2010:Received "DENIED" from server for user nobody@x '
            "using method IDTOKENS.\n",
            "cm knows the token as nobody@x, but does not let that advertise a worker",
        ),
        (
            1,
            "ADVERTISE_STARTD failed!\nSECMAN:2011:Connection closed during command authorization. "
            "Probably due to an unknown command.\n",
            "cm took the connection and closed it: its collector does not run",
        ),
        (1, "ERROR: something new\n", "cm does not let this worker in: ERROR: something new"),
        (1, "", "cm does not let this worker in: no reason given"),
        (-1, "", "cm took the connection, but did not answer as a collector does"),
    ],
)
def test_what_condor_ping_says(status: int, said: str, reason: str | None) -> None:
    assert ping_problem("cm", Completed(status, said, ""), "pool.example") == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 2_000_000, "iat": 1_000}, None),
        ({}, None),
        ({"exp": "soon", "iat": None}, None),
        ({"exp": 999_999}, "the token expired on 1970-01-12 13:46 UTC, or this machine's clock, which says "
                           "1970-01-12 13:46 UTC, is wrong"),
        ({"iat": 1_000_301}, "this machine's clock is wrong: it says 1970-01-12 13:46 UTC, but the token "
                             "was issued on 1970-01-12 13:51 UTC"),
        ({"iat": 1_000_300}, None),
    ],
)  # fmt: skip
def test_clock_and_token(claims: dict[str, object], reason: str | None) -> None:
    assert token.time_problem(token.claims(jwt(claims)), 1_000_000) == reason


@pytest.mark.parametrize("text", ["", "a.b", "a.!.c", "a.e30.c.d", jwt({})[:-12] + "..", "a.W10.c"])
def test_what_is_no_token_claims_nothing(text: str) -> None:
    assert token.claims(text) == {}


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = join.unreachable("no.such.host:1")
    assert said == "the name no.such.host of the pool cannot be resolved (Name or service not known)"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            ConnectionRefusedError(111, "Connection refused"),
            "port 1 of 127.0.0.1 cannot be reached: Connection",
        ),
        (TimeoutError("timed out"), "port 1 of 127.0.0.1 does not answer within 10 s (a firewall?)"),
    ],
)
def test_a_port_where_nobody_answers(failure: OSError, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise failure

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert (join.unreachable("127.0.0.1:1") or "").startswith(said)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "TokenFile contains 0 tokens instead of one"),
        (b"a.b.c\nd.e.f\n", "TokenFile contains 2 tokens instead of one"),
        (b"CANARY x\n", "the token of TokenFile contains a blank or a character that is not ASCII"),
    ],
)
def test_a_token_file_without_one_token(raw: bytes, reason: str) -> None:
    with pytest.raises(token.NoToken) as caught:
        token.parse_token_file("TokenFile", raw)
    assert str(caught.value) == reason


def test_a_token_file_as_htcondor_writes_them() -> None:
    assert token.parse_token_file("TokenFile", b"# made today\r\n\r\n  a.b.c\r\n") == "a.b.c"


SERVERS = (Server(False, "cm-1"), Server(False, "cm-2"), Server(True, "ccb-1"), Server(True, "ccb-2"))


@pytest.mark.parametrize(
    ("problems", "no_manager", "no_broker"),
    [
        (("", "", "", ""), "", ""),
        (("a", "", "c", ""), "", ""),
        (("a", "b", "", ""), "a; b", ""),
        (("", "", "c", "d"), "", "c; d"),
        (("late", "late", "late", "late"), "late", "late"),
    ],
)
def test_one_manager_and_one_broker_are_enough(
    problems: tuple[str, ...], no_manager: str, no_broker: str
) -> None:
    found = Answers(SERVERS, problems, 1.0)
    assert (obstacle(found), broker_problem(found)) == (no_manager, no_broker)


def test_where_the_managers_are_the_brokers_none_is_missing() -> None:
    assert broker_problem(Answers(SERVERS[:1], ("",), 1.0)) == ""


@pytest.mark.parametrize(
    ("problems", "age", "wanted", "asks"),
    [
        (("", ""), 299, False, False),
        (("", ""), 300, False, True),
        (("", "x"), 59, False, False),
        (("", "x"), 60, False, True),
        (("", ""), 9, True, False),
        (("", "x"), 10, True, True),
    ],
)
def test_when_the_servers_are_asked_again(
    problems: tuple[str, ...], age: float, wanted: bool, asks: bool
) -> None:
    assert is_due(Answers(SERVERS[:2], problems, 1000.0), SERVERS[:2], 1000 + age, wanted) is asks


def test_other_servers_and_those_that_were_never_asked_are_asked_at_once() -> None:
    assert is_due(Answers(), SERVERS, 5.0, False)
    assert is_due(Answers(SERVERS[:1], ("",), 1.0), SERVERS, 2.0, False)


def test_whose_token_the_pool_takes_is_said_where_it_is_known() -> None:
    assert issuer_text({"iss": "a"}, "") == issuer_text({"iss": "a"}, "a") == "a"
    assert issuer_text({"iss": "a"}, "flock") == "a, not flock"
    assert issuer_text({}, "") == "an unknown issuer"


def test_each_server_is_asked_and_a_broker_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        join, "unreachable", lambda address: f"{address} is away" if "1" in address else None
    )
    monkeypatch.setattr(
        join, "ping", lambda address: Completed(0 if address == "cm-2" else 1, "ERROR: x", "")
    )
    found = join.ask_all(SERVERS, "/no/such/token", "", 7.0)
    assert (found.servers, found.at) == (SERVERS, 7.0)
    assert found.problems == (
        "cm-1 is away",
        "",
        "connection broker: ccb-1 is away",
        "connection broker: ccb-2 does not let this worker in: ERROR: x",
    )
    assert found.failures == tuple(text for text in found.problems if text)
