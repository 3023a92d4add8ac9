"""Which tokens and token files a collector accepts: the table, and how to ask a collector of a real pool.

Signed here by hmac alone, not by the code under test. tests/integration/pool compares HTCondor's answers
with this table, and with the verdict of `worker-bakery token inspect`.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

from bakery.commands.token import command as inspect
from bakery.machines.network import GATEWAY, Network
from bakery.runtime.conditions import Condition, wait
from bakery.tokens import authorization
from bakery.tokens.claims import claims_of
from bakery.tokens.problems import is_rejected, problems_of
from bakery.verify.pool.throwaway_pool import IDENTITY, TRUST_DOMAIN, Pool
from provisioner.process import run
from provisioner.process.run import Completed

DAY = 86400


def rfc5869(material: bytes) -> bytes:
    """HKDF with SHA-256, the salt and the info of HTCondor; 32 bytes, so one round."""
    extracted = hmac.digest(b"htcondor", material, "sha256")
    return hmac.digest(extracted, b"master jwt\x01", "sha256")


def scrambled(content: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(content, cycle(b"\xde\xad\xbe\xef"), strict=False))


def of_pool(content: bytes) -> bytes:
    return rfc5869(scrambled(content) * 2)


def of_named(content: bytes) -> bytes:
    return rfc5869(scrambled(content))


def signed(key: bytes, header: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    def encoded(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    parts = [encoded(json.dumps(part).encode()) for part in (header, payload)]
    text = b".".join(parts)
    hashed = getattr(hashlib, f"sha{str(header.get('alg', 'HS256'))[2:]}")
    return b".".join([*parts, encoded(hmac.new(key, text, hashed).digest())]).decode()


@dataclass(frozen=True)
class Row:
    """A token: `claims` and `header` are changes (None removes); `derive` makes the key of a file's bytes.

    `accepted` is the answer of a collector of HTCondor 23.9, `newer` that of 25.14; None means that it must
    not be sent. `judged` is whether `inspect` can know it, `why` a part of the reason that `check` prints.
    """

    name: str
    accepted: bool | None
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    derive: Callable[[bytes], bytes] = of_pool
    newer: bool | None = None
    judged: bool = True
    why: str = ""

    def token(self, content: bytes) -> str:
        now = int(time.time())
        payload = {
            "iss": TRUST_DOMAIN,
            "sub": IDENTITY,
            "iat": now,
            "exp": now + 90 * DAY,
            "jti": "0123456789abcdef",
            "scope": "condor:/ADVERTISE_STARTD condor:/READ",
        }
        changes = {key: value(now) if callable(value) else value for key, value in self.claims.items()}
        header = {"alg": "HS256", "kid": "POOL"} | dict(self.header)
        return signed(self.derive(content), _without_none(header), _without_none(payload | changes))


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


NAMED = {"kid": "named"}
HERE = TRUST_DOMAIN
WRONG_KEY = "signature of the token is wrong"
ROWS = (
    Row("good", True),
    Row("HS384", True, header={"alg": "HS384"}),
    Row("HS512", True, header={"alg": "HS512"}),
    Row("named key", True, header=NAMED, derive=of_named),
    Row("with typ", True, header={"typ": "JWT"}),
    Row("POOL not doubled", False, derive=of_named, judged=False, why=WRONG_KEY),
    Row("named key doubled", False, header=NAMED, derive=of_pool, judged=False, why=WRONG_KEY),
    Row("no XOR", False, derive=lambda content: rfc5869(content * 2), judged=False, why=WRONG_KEY),
    Row("no HKDF", False, derive=lambda content: scrambled(content) * 2, judged=False, why=WRONG_KEY),
    Row("no exp", True, {"exp": None}),
    Row("no iat", True, {"iat": None}),
    Row("iat in the future", True, {"iat": lambda now: now + DAY}),
    Row("nbf in the future", True, {"nbf": lambda now: now + DAY}),
    Row("expired", False, {"exp": lambda now: now - 10}, why="The token expired on"),
    Row("exp is no whole number", False, {"exp": lambda now: now + DAY + 0.5}, newer=True),
    Row("exp is a text", False, {"exp": "tomorrow"}),
    Row("iat is a text", False, {"iat": "today"}),
    Row("no jti", True, {"jti": None}, newer=False),
    Row("no sub", None, {"sub": None}, why="has no valid subject"),
    Row("another issuer", False, {"iss": "other.example"}, why=f"trust domain of this collector is {HERE}"),
    Row("no issuer", False, {"iss": None}),
    Row("unknown key name", False, header={"kid": "unknown"}, judged=False, why="with the key unknown"),
    Row("sub without a domain", False, {"sub": "worker"}, why="does not authorize worker"),
    Row("sub not in ALLOW", False, {"sub": "bob@cloud"}, judged=False, why="does not authorize bob@cloud"),
    Row("no scope", True, {"scope": None}),
    Row("scopes of others only", True, {"scope": "openid email"}),
    Row("scope in lower case, commas", True, {"scope": "condor:/read,condor:/advertise_startd"}),
    Row("scope READ only", False, {"scope": "condor:/READ"}, why="its scope does not include"),
    Row("scope DAEMON only", False, {"scope": "condor:/DAEMON"}, why="scope does not include"),
    Row("3 kB", True, {"note": "x" * 3000}),
)  # fmt: skip


@dataclass(frozen=True)
class FileRow:
    """A token file in tokens.d: `content` makes its bytes of a good token and of one of another issuer.

    `accepted` is what HTCondor 23.9 and 25.14 do alike. With `link`, tokens.d has a symbolic link to it.
    """

    name: str
    accepted: bool
    content: Callable[[str, str], str] = lambda good, _: f"{good}\n"
    file: str = "token"
    mode: int = 0o600
    owner: int = 0
    link: bool = False


_KEPT = ("token.jwt", "flock.opensciencegrid.org", "x.SH", "x y")
_IGNORED = (
    *(".x", "#x", "x~", "x.pl", "x.py", "x.sh"),
    *("x.rpmsave", "x.rpmnew", "x.dpkg-old", "x.dpkg-dist", "x.cfsaved"),
)
FILES = (
    FileRow("good", True),
    FileRow("comments, blank lines, several tokens", True, lambda g, o: f"# us\n\n{o}\n{g}\n"),
    FileRow("of another issuer", False, lambda _, o: f"{o}\n"),
    FileRow("CRLF", True, lambda g, _: f"{g}\r\n"),
    FileRow("blanks around it", True, lambda g, _: f"  {g} \t\n"),
    FileRow("a word after it", False, lambda g, _: f"{g} # ours\n"),
    FileRow("no final newline", True, lambda g, _: g),
    FileRow("byte order mark", False, lambda g, _: f"\ufeff{g}\n"),
    FileRow("byte order mark, a comment first", True, lambda g, _: f"\ufeff# us\n{g}\n"),
    FileRow("byte order mark, another token first", True, lambda g, o: f"\ufeff{o}\n{g}\n"),
    FileRow("byte order mark, another token last", False, lambda g, o: f"\ufeff{g}\n{o}\n"),
    FileRow("mode 0644", False, mode=0o644),
    FileRow("mode 0640", False, mode=0o640),
    FileRow("mode 0400", True, mode=0o400),
    FileRow("mode 0700", True, mode=0o700),
    FileRow("owner not root", False, owner=1234),
    FileRow("symbolic link", True, link=True),
    FileRow("symbolic link, mode 0644", False, mode=0o644, link=True),
    *(FileRow(name, True, file=name) for name in _KEPT),
    *(FileRow(name, False, file=name) for name in _IGNORED),
)


Result = TypeVar("Result")
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>


def inside(network: Network, function: Callable[[], Result]) -> Result:
    """Call a function in a thread on a network; processes that it starts are there, too."""

    def body() -> Result:
        with network.namespace.open() as namespace:
            assert ctypes.CDLL(None).setns(namespace.fileno(), _CLONE_NEWNET) == 0
        return function()

    with ThreadPoolExecutor(1) as thread:  # setns(2) changes the network of its thread for good
        return thread.submit(body).result()


@dataclass(frozen=True)
class Client:
    """HTCondor's own tools in the root directory of a pool, with the tokens of one folder only."""

    root: Path
    network: Network

    def run(self, tokens: str, *argv: str) -> Completed:
        """Run a tool; `tokens` is a folder in the root. Any status is returned."""
        only = {
            "SEC_TOKEN_DIRECTORY": tokens,
            "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
            "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
            # With the key of the pool, a tool of root would make itself a token.
            "SEC_TOKEN_POOL_SIGNING_KEY_FILE": "/nonexistent",
            "SEC_PASSWORD_DIRECTORY": "/nonexistent",
        }
        settings = [f"_CONDOR_{name}={value}" for name, value in only.items()]
        chrooted = ["chroot", str(self.root), "env", *settings, *argv]
        return run.call(self.network.argv(chrooted), env=_ENV, expect=range(256), seconds=60)

    def may_advertise(self, tokens: str) -> bool:
        """Return whether condor_ping may ADVERTISE_STARTD with a token of this folder."""
        done = self.run(tokens, "condor_ping", "-quiet", "-addr", f"<{GATEWAY}:9618>", "ADVERTISE_STARTD")
        return done.status == 0


def compare(row: Row, pool: Pool, client: Client, version: tuple[int, int], name: str) -> None:
    """Assert that HTCondor's condor_ping, the answer of `check` and the verdict of `inspect` are the row's.

    `version` is that of the pool's HTCondor, `name` that of a new folder.
    """
    text = row.token(pool.signing_key)
    accepted = row.newer if version >= (25,) and row.newer is not None else row.accepted
    claims = claims_of(text)
    assert claims
    if accepted is not None:  # else the collector would abort
        [reply] = inside(client.network, lambda: authorization.ask(GATEWAY, text, ("ADVERTISE_STARTD",)))
        verdict = authorization.judge(claims, "ADVERTISE_STARTD", reply, time.time())
        assert verdict.authorized is accepted, str(verdict)
        assert row.why in verdict.reason
        assert reply.version.startswith(f"{version[0]}.{version[1]}.")
        assert reply.collector
        folder, there = folder_of(pool, name)
        secret_file(folder / "token", text.encode())
        assert client.may_advertise(there) is accepted
    if row.judged:
        found = problems_of(text, trust_domain=TRUST_DOMAIN, now=time.time())
        assert is_rejected(found, version) is not (accepted is True), found


def compare_file(row: FileRow, pool: Pool, client: Client, name: str) -> None:
    """Assert that condor_ping uses the token of the file, and that `inspect` accepts it, as the row says.

    `name` is that of a new folder.
    """
    good = Row("good", True).token(pool.signing_key)
    other = Row("other", False, {"iss": "other.example"}).token(pool.signing_key)
    folder, there = folder_of(pool, name)
    path = secret_file(
        folder.parent / "kept" if row.link else folder / row.file, row.content(good, other).encode()
    )
    path.chmod(row.mode)
    os.chown(path, row.owner, 0)
    if row.link:
        (folder / row.file).symlink_to("../kept")
    assert client.may_advertise(there) is row.accepted
    status = inspect.main(["inspect", "--trust-domain", TRUST_DOMAIN, str(folder / row.file)])
    assert status == (0 if row.accepted else 2)


def join(pool: Pool, client: Client, token: str, name: str) -> list[str]:
    """Advertise a slot by HTCondor's condor_advertise; return whose it is, according to the collector.

    `name` is that of a new folder, and of the slot's machine.
    """
    folder, there = folder_of(pool, name)
    secret_file(folder / "token", token.encode())
    attributes = {
        "MyType": "Machine",
        "Name": f"slot1@{name}",
        "Machine": name,
        "MyAddress": f"<{GATEWAY}:1>",
    }
    ad = "".join(f'{key} = "{value}"\n' for key, value in attributes.items())
    (folder.parent / "ad").write_text(ad)
    sent = client.run(
        there, "condor_advertise", "-pool", GATEWAY, "UPDATE_STARTD_AD", there.replace("tokens.d", "ad")
    )
    assert sent.status == 0, sent.stdout + sent.stderr
    return pool.slot_attributes(name, "AuthenticatedIdentity", name_attribute="Machine")


def folder_of(pool: Pool, name: str) -> tuple[Path, str]:
    """A new folder tokens.d in the pool's root directory, and its path there."""
    there = f"/root/{name}/tokens.d"
    folder = pool.root / there[1:]
    folder.mkdir(parents=True, mode=0o700)
    return folder, there


def secret_file(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def add_named_key(pool: Pool, client: Client) -> None:
    """Give the pool a second signing key, with the name `named` and the content of POOL."""
    secret_file(pool.root / "etc/condor/passwords.d/named", pool.signing_key)
    pool.reconfigure()
    folder, there = folder_of(pool, "named-key")
    secret_file(
        folder / "token", Row("named", True, header=NAMED, derive=of_named).token(pool.signing_key).encode()
    )
    wait(Condition("the collector has read the key", lambda: client.may_advertise(there), 120, bool))


_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
