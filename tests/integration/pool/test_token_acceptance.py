"""Tokens and a real collector: the table of accepted tokens, and the commands that make and try tokens.

One pool for all tests, of the image's HTCondor (Debian 13: 23.9).
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest

from bakery.machines.network import GATEWAY, Network
from bakery.tokens import signing
from bakery.verify.pool.throwaway_pool import IDENTITY, TRUST_DOMAIN, Pool
from provisioner.process import run
from tests import acceptance
from tests.acceptance import FILES, ROWS, Client, FileRow, Row, folder_of, secret_file
from tests.conftest import BIN, Ended, command

VERSION = (23, 9)
CREATE = ("create", "--issuer", TRUST_DOMAIN)


@pytest.fixture(scope="module")
def pool(pool: Pool, network: Network) -> Pool:
    """A pool with two signing keys of the same content: POOL, and one named `named`."""
    acceptance.add_named_key(pool, Client(pool.root, network))
    return pool


@pytest.fixture(scope="module")
def client(pool: Pool, network: Network) -> Client:
    return Client(pool.root, network)


@pytest.fixture
def key(pool: Pool, tmp_path: Path) -> Path:
    return secret_file(tmp_path / "POOL", pool.signing_key)


def token(network: Network, *argv: str, stdin: str = "") -> Ended:
    return command("worker-bakery", "token", *argv, prefix=network.argv([]), stdin=stdin)


def check(network: Network, text: str, *more: str) -> tuple[int, dict[str, Any]]:
    done = token(network, "check", "--json", "--pool", GATEWAY, *more, stdin=text)
    assert done.out, done.err
    assert text.split(".")[2] not in done.out + done.err
    return done.status, json.loads(done.out)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table_of_accepted_tokens(row: Row, pool: Pool, client: Client, tmp_path: Path) -> None:
    acceptance.compare(row, pool, client, VERSION, tmp_path.name)


@pytest.mark.parametrize("name", ["no sub", "sub without a domain", "expired"])
def test_check_says_why(name: str, pool: Pool, network: Network) -> None:
    [row] = [row for row in ROWS if row.name == name]
    status, answer = check(network, row.token(pool.signing_key), "--authz", "ADVERTISE_STARTD")
    assert (status, answer["authorized"]) == (2, False)
    assert answer["version"] == ("23.9.6" if name == "expired" else "")  # the others were not sent
    wanted = "The token expired on" if name == "expired" else "has no valid subject"
    assert wanted in answer["levels"][0]["reason"]


@pytest.mark.parametrize("row", FILES, ids=lambda row: row.name)
def test_the_table_of_accepted_files(row: FileRow, pool: Pool, client: Client, tmp_path: Path) -> None:
    acceptance.compare_file(row, pool, client, tmp_path.name)


def test_a_created_token_joins(pool: Pool, network: Network, client: Client, key: Path) -> None:
    """By HTCondor's own condor_advertise: the collector has the slot, and knows whose it is."""
    output = key.parent / "token"
    made = token(network, *CREATE, "--identity", IDENTITY, "--key", str(key), "-o", str(output))
    assert made.status == 0, made.err
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert acceptance.join(pool, client, output.read_text(), "created") == [f'"{IDENTITY}"']
    for level, may in (("ADVERTISE_MASTER", True), ("READ", True), ("WRITE", False), ("DAEMON", False)):
        status, answer = check(network, output.read_text(), "--authz", level)
        assert answer["authorized"] is may, (level, answer)
        assert status == (0 if may else 2)


def test_the_same_token_by_htcondor(pool: Pool, network: Network, client: Client, key: Path) -> None:
    """The printed condor_token_create line makes a token with the same claims."""
    output = key.parent / "token"
    made = token(
        network, "create", "--identity", IDENTITY, "--issuer", TRUST_DOMAIN, "--key", str(key),
        "--lifetime", "2h", "-o", str(output), "--json",
    )  # fmt: skip
    assert made.status == 0, made.err
    line = json.loads(made.out)["condor_token_create"].replace(str(output), "/root/same")
    done = run.call(network.argv(["chroot", str(pool.root), *line.split()]))
    assert done.status == 0
    theirs, ours = ((pool.root / "root/same").read_text(), output.read_text())
    claims = [
        json.loads(command("worker-bakery", "token", "inspect", "--json", stdin=text).out)
        for text in (theirs, ours)
    ]
    (first,), (second,) = (one["tokens"] for one in claims)
    assert first["header"] == second["header"]
    for one in (first, second):
        lifetime = one["claims"]["exp"] - one["claims"]["iat"]
        assert lifetime == 7200
    for name in ("iss", "sub", "scope"):
        assert first["claims"][name] == second["claims"][name]


@pytest.mark.parametrize("is_password", [False, True])
@pytest.mark.parametrize(
    "content", [b"k" * 64, b"secret\0\0\0", b"ab\xbe\xefcd"], ids=["plain", "NUL", "NUL when unscrambled"]
)
def test_the_key_that_htcondor_derives(
    content: bytes, is_password: bool, pool: Pool, network: Network, tmp_path: Path
) -> None:
    """A token of condor_token_create has our signature, also with a pool password of old versions."""
    folder, there = folder_of(pool, tmp_path.name)
    secret_file(folder / "POOL", content)
    settings = {"SIGNING_KEY_FILE": f"{there}/POOL", "SIGNING_KEY_IS_PASSWORD": str(is_password)}
    env = [f"_CONDOR_SEC_TOKEN_POOL_{name}={value}" for name, value in settings.items()]
    create = ["condor_token_create", "-identity", IDENTITY, "-key", "POOL", "-file", f"{there}/token"]
    run.call(network.argv(["chroot", str(pool.root), "env", *env, *create]))
    key = signing.derived_key(content, "POOL", is_password=is_password)
    claims = jwt.decode((folder / "token").read_text().strip(), key, algorithms=["HS256"])
    assert claims["sub"] == IDENTITY


def test_a_key_of_the_password_directory(pool: Pool, network: Network, tmp_path: Path) -> None:
    """--key-name alone: the name of the file is the kid, and its bytes are not doubled."""
    path, output = secret_file(tmp_path / "named", pool.signing_key), tmp_path / "token"
    made = token(network, *CREATE, "--identity", IDENTITY, "--key", str(path), "-o", str(output))
    assert made.status == 0, made.err
    assert check(network, output.read_text())[0] == 0


def test_many_tokens_at_once(pool: Pool, network: Network, key: Path, tmp_path: Path) -> None:
    users = tmp_path / "users.txt"
    users.write_text(f"# ours\n{IDENTITY}\nbob@cloud\n")
    folder = tmp_path / "tokens"
    made = token(
        network,
        "create",
        "--for",
        str(users),
        "--issuer",
        TRUST_DOMAIN,
        "--key",
        str(key),
        "-o",
        str(folder),
    )
    assert made.status == 0, made.err
    assert check(network, (folder / f"{IDENTITY}.jwt").read_text())[0] == 0
    status, answer = check(network, (folder / "bob@cloud.jwt").read_text())
    assert status == 2
    assert "must add bob@cloud to ALLOW_ADVERTISE_STARTD" in answer["levels"][0]["reason"]


# --- pools that are none, in words ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status", "words"),
    [
        (f"{GATEWAY}:1", 5, "refuses connections to port 1"),
        ("192.0.2.1", 5, "Cannot reach 192.0.2.1"),
        (f"{GATEWAY}:99999", 2, "99999 is not a port"),
    ],
)
def test_no_collector_there(host: str, status: int, words: str, pool: Pool, network: Network) -> None:
    done = token(network, "check", "--pool", host, stdin=Row("good", True).token(pool.signing_key))
    assert (done.status, done.out) == (status, "")
    assert words in done.err


def test_the_token_of_this_pool_is_used(pool: Pool, network: Network) -> None:
    """Of several tokens in a file, as HTCondor does; its address does not say whose pool it is."""
    good, other = Row("good", True), Row("other", False, {"iss": "other.example"})
    text = f"{other.token(pool.signing_key)}\n{good.token(pool.signing_key)}\n"
    done = token(network, "check", "--pool", GATEWAY, "--authz", "ADVERTISE_STARTD", stdin=text)
    assert done.status == 0, done.out + done.err


def test_a_daemon_that_is_no_collector(pool: Pool, network: Network) -> None:
    [address] = pool._tool("condor_status", "-pool", GATEWAY, "-schedd", "-af", "MyAddress").split()
    socket = address.partition("sock=")[2].rstrip(">")
    host = f"{GATEWAY}:9618?sock={socket}"
    done = token(network, "check", "--pool", host, stdin=Row("good", True).token(pool.signing_key))
    assert done.status == 2
    assert "is not a collector" in done.err


def test_a_server_of_another_protocol(pool: Pool, network: Network) -> None:
    with network.listen(GATEWAY, 0) as server:

        def answer() -> None:
            with suppress(OSError):  # until the server closes
                while True:
                    connection, _ = server.accept()
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        port = server.getsockname()[1]
        text = Row("good", True).token(pool.signing_key)
        done = token(network, "check", "--pool", f"{GATEWAY}:{port}", stdin=text)
    assert done.status == 2
    assert "is not HTCondor" in done.err or "closes the connection" in done.err


def command_lines() -> Iterator[bytes]:
    """The arguments of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            yield path.read_bytes()


def test_the_token_is_in_no_command_line(pool: Pool, network: Network) -> None:
    """Not in those of child processes either."""
    text = Row("good", True).token(pool.signing_key)
    with network.listen(GATEWAY, 0) as server:
        argv = [
            str(BIN / "worker-bakery"),
            "token",
            "check",
            "--pool",
            f"{GATEWAY}:{server.getsockname()[1]}",
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(network.argv(argv), text=True, **pipes) as checking:  # type: ignore[call-overload]  # of a dict
            checking.stdin.write(text)
            checking.stdin.close()
            first, _ = server.accept()  # of the command itself
            second, _ = server.accept()  # of its child, which has the token by now
            seen = b"".join(command_lines())
            assert b"bakery.tokens.ask_collector" in seen
            assert text.split(".")[2].encode() not in seen
            for connection in (first, second):
                connection.close()
            server.close()
            said = checking.stderr.read()
    assert checking.returncode == 2
    assert "closes the connection" in said


# --- token requests -----------------------------------------------------------------------------


@pytest.fixture
def tool(pool: Pool, tmp_path: Path) -> dict[str, str]:
    """A PATH with the pool's own condor_token_request, which sees `tmp_path` as this test does."""
    _, _, pid, _, *inside = pool.root.parts
    root = Path("/", *inside)
    run.call(["mkdir", "-p", f"{pool.root}{tmp_path}"])
    into = ["nsenter", f"--target={pid}", "--mount", "mount", "--bind"]
    run.call([*into, str(tmp_path), f"{root}{tmp_path}"])
    tools = tmp_path / "bin"
    tools.mkdir()
    script = f'#!/bin/sh\nexec chroot {pool.root} /usr/bin/condor_token_request "$@"\n'
    (tools / "condor_token_request").write_text(script)
    (tools / "condor_token_request").chmod(0o755)
    return {"PATH": f"{tools}:{os.environ['PATH']}"}


def request(network: Network, tool: dict[str, str], *more: str) -> subprocess.Popen[str]:
    argv = [
        str(BIN / "worker-bakery"),
        "token",
        "request",
        "--pool",
        GATEWAY,
        "--identity",
        IDENTITY,
        *more,
    ]
    return subprocess.Popen(
        network.argv(argv),
        env={**os.environ, **tool},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_requested_token(pool: Pool, network: Network, tool: dict[str, str], tmp_path: Path) -> None:
    """The administrator approves the printed ID; the token is saved, and joins."""
    output = tmp_path / "token"
    with request(network, tool, "-o", str(output), "--lifetime", "1h") as asking:
        assert asking.stderr
        first = asking.stderr.readline()
        found = re.search(r"condor_token_request_approve -pool \S+ -reqid \d+$", first)
        assert found, first
        assert not output.exists()
        approve = network.argv(["chroot", str(pool.root), *found[0].split()])
        run.call(approve, stdin=b"yes\n", seconds=60)
        rest = asking.stderr.read()
    assert asking.returncode == 0, rest
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert f"a token of {IDENTITY}, valid until" in rest
    assert output.read_text().strip() not in first + rest
    assert check(network, output.read_text())[0] == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_request_that_the_pool_approves_at_once(
    pool: Pool, network: Network, tool: dict[str, str], tmp_path: Path
) -> None:
    """By a rule, for the identity of daemons; HTCondor's own condor_token_request drops such a token."""
    rule = ["condor_token_request_auto_approve", "-netblock", f"{GATEWAY}/32", "-lifetime", "3600"]
    run.call(network.argv(["chroot", str(pool.root), *rule]), seconds=60)
    output = tmp_path / "token"
    daemon = ("--identity", f"condor@{TRUST_DOMAIN}", "--authz", "ADVERTISE_STARTD")
    with request(network, tool, "-o", str(output), "--lifetime", "1h", *daemon) as asking:
        _, said = asking.communicate()
    assert "approved via auto-approval rule" in (pool.root / "var/log/condor/CollectorLog").read_text()
    assert asking.returncode == 2
    assert "approved the request at once, by condor_token_request_auto_approve" in said
    assert not output.exists()


def test_a_request_that_nobody_approves(network: Network, tool: dict[str, str], tmp_path: Path) -> None:
    with request(network, tool, "-o", str(tmp_path / "token"), "--timeout", "2") as asking:
        _, said = asking.communicate()
    assert asking.returncode == 5
    assert "Nobody approved the request" in said
    assert not (tmp_path / "token").exists()


def test_a_request_to_no_collector(network: Network, tool: dict[str, str], tmp_path: Path) -> None:
    with request(network, tool, "-o", str(tmp_path / "token"), "--pool", f"{GATEWAY}:1") as asking:
        _, said = asking.communicate()
    assert asking.returncode == 5
    assert f"Cannot reach the collector {GATEWAY}:1" in said


def test_a_request_without_htcondor(network: Network, tmp_path: Path) -> None:
    done = token(network, "request", "--pool", GATEWAY, "--identity", IDENTITY, "-o", str(tmp_path / "t"))
    assert done.status == 3
    assert "condor_token_request is not installed" in done.err
