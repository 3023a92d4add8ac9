"""`token fetch` and `gen-userdata --fetch-token` against a TLS server in the place of PROMINENCE."""

from __future__ import annotations

import json
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bakery.tokens import signing
from tests.conftest import Ended, Folders, command
from tests.integration import prominence_api as api
from tests.integration.prominence_api import Authority, Behaviour

USER = "canary-of-the-user-" + "u7" * 12


def worker_token(**changes: object) -> str:
    wanted: dict[str, object] = {
        "issuer": "prominence.example",
        "subject": "alice@cloud",
        "scopes": ("ADVERTISE_STARTD", "ADVERTISE_MASTER"),
        "lifetime": 90 * 86400,
    }
    return signing.mint(b"k" * 64, "token_key", **(wanted | changes))  # type: ignore[arg-type]  # of a dict


CANARY = worker_token()


@pytest.fixture(scope="module")
def trusted(folders: Folders) -> Authority:
    return api.authority(folders("authority"))


@dataclass
class Setting:
    """A server's certificate, and the folder of the token; `secrets` must appear nowhere."""

    trusted: Authority
    folder: Path
    secrets: list[str] = field(default_factory=lambda: [USER, CANARY, CANARY.split(".")[2]])

    def environment(self, url: str) -> dict[str, str]:
        return {
            "SSL_CERT_FILE": str(self.trusted.certificate),
            "PROMINENCE_TOKEN": USER,
            "PROMINENCE_URL": url,
            "no_proxy": "127.0.0.1",
        }

    def fetch(self, url: str, *more: str, **env: str) -> Ended:
        output = self.folder / "token"
        done = command(
            "worker-bakery", "token", "fetch", "-o", str(output), *more, env=self.environment(url) | env
        )
        for secret in self.secrets:
            assert secret not in done.out + done.err
        return done

    @property
    def saved(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def setting(trusted: Authority, tmp_path: Path) -> Setting:
    folder = tmp_path / "output"
    folder.mkdir()
    return Setting(trusted, folder)


def test_a_token_is_fetched(setting: Setting) -> None:
    with api.serving([api.gives(CANARY)], setting.trusted.server) as server:
        done = setting.fetch(server.url + "/")
    assert done.status == 0, done.err
    output = setting.folder / "token"
    assert output.read_text() == CANARY + "\n"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert "a token of alice@cloud, valid until" in done.err
    [(path, headers)] = server.seen
    assert path == "/api/token"
    assert headers["authorization"] == f"Token {USER}"


def test_the_user_token_of_a_file(setting: Setting, tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.touch(mode=0o600)
    user.write_text(USER + "\n")
    with api.serving([api.gives(CANARY)], setting.trusted.server) as server:
        done = setting.fetch(server.url, "--user-token-file", str(user), "--json", PROMINENCE_TOKEN="")
    assert done.status == 0, done.err
    result = json.loads(done.out)
    assert result["identity"] == "alice@cloud"
    assert server.seen[0][1]["authorization"] == f"Token {USER}"


def test_a_user_token_that_others_can_read(setting: Setting, tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.write_text(USER)
    user.chmod(0o644)
    done = setting.fetch("https://127.0.0.1:1", "--user-token-file", str(user))
    assert done.status == 2
    assert f"All users of this machine can read {user}. Run: chmod 600 {user}" in done.err


def test_without_a_user_token(setting: Setting) -> None:
    done = setting.fetch("https://127.0.0.1:1", PROMINENCE_TOKEN="")
    assert done.status == 2
    assert "--user-token-file FILE or the variable PROMINENCE_TOKEN" in done.err


def test_an_error_of_the_server_is_tried_again(setting: Setting) -> None:
    with api.serving([api.says(503), api.says(500), api.gives(CANARY)], setting.trusted.server) as server:
        done = setting.fetch(server.url)
    assert done.status == 0, done.err
    assert len(server.seen) == 3


MIGHTY = ("ADMINISTRATOR", "ADVERTISE_STARTD")
ANSWERS: list[tuple[str, Behaviour, int, str, int]] = [
    ("500", api.says(500, USER.encode()), 5, "answered 4 times with an error of the server (500)", 4),
    ("401", api.says(401, USER.encode()), 2, "does not accept the user token (401)", 1),
    ("403", api.says(403), 2, "does not issue a token for a worker to this user (403)", 1),
    ("404", api.says(404), 2, "There is no PROMINENCE API at", 1),
    ("418", api.says(418), 1, "unexpected status 418", 1),
    ("HTML", api.says(200, b"<html>" + CANARY.encode(), "text/html"), 1, "not JSON (text/html)", 1),
    ("a list", api.says(201, b'["token"]'), 1, "contains no token", 1),
    ("no token", api.says(201, b'{"message": "ok"}'), 1, "contains no token", 1),
    ("a number", api.gives(5), 1, "contains no token", 1),
    ("no IDTOKEN", api.gives("abcdefgh"), 1, "not an HTCondor IDTOKEN", 1),
    ("expired", api.gives(worker_token(lifetime=-5)), 1, "The token expired on", 1),
    ("administrator", api.gives(worker_token(scopes=MIGHTY)), 1, "administer", 1),
    ("too large", api.says(201, b" " * 100_000), 1, "larger than 65536 bytes", 1),
    ("cut", api.cuts, 5, "cut the connection", 1),
    ("hangs up", api.hangs_up, 5, "cut the connection", 1),
    ("other host", api.redirects("https://other.example/t"), 2, "redirects to https://other.example;", 1),
    ("other port", api.redirects("https://127.0.0.1:1/t"), 2, "redirects to https://127.0.0.1:1;", 1),
    ("http", api.redirects("http://127.0.0.1/token"), 2, "redirects to http://127.0.0.1;", 1),
    ("nowhere", api.says(302), 2, "redirects to", 1),
    ("in a circle", api.redirects("/api/token"), 2, "redirects more than 3 times", 4),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "behave", "status", "words", "requests"),
    ANSWERS,
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_that_is_no_token(
    name: str, behave: Behaviour, status: int, words: str, requests: int, setting: Setting
) -> None:
    """Nothing is saved, and nothing of the answer is printed."""
    with api.serving([behave], setting.trusted.server) as server:
        done = setting.fetch(server.url)
    assert (done.status, setting.saved) == (status, []), done.err
    assert words in done.err
    assert len(server.seen) == requests


def test_a_redirect_on_the_same_server(setting: Setting) -> None:
    with api.serving([api.redirects("/v2/token"), api.gives(CANARY)], setting.trusted.server) as server:
        done = setting.fetch(server.url)
    assert done.status == 0, done.err
    assert [path for path, _ in server.seen] == ["/api/token", "/v2/token"]


@pytest.mark.parametrize("behave", [api.silent, api.drips])
def test_a_slow_server(behave: Behaviour, setting: Setting) -> None:
    with api.serving([behave], setting.trusted.server) as server:
        begun = time.monotonic()
        done = setting.fetch(server.url, "--timeout", "1")
        took = time.monotonic() - begun
    assert (done.status, setting.saved) == (5, [])
    assert "did not answer" in done.err
    assert took < 60  # the server would have taken longer


def test_a_certificate_of_an_unknown_authority(setting: Setting, tmp_path: Path) -> None:
    other = api.authority(tmp_path)
    with api.serving([api.gives(CANARY)], other.server) as server:
        done = setting.fetch(server.url)
    assert (done.status, setting.saved, server.seen) == (5, [], [])
    assert "Cannot trust" in done.err
    assert "SSL_CERT_FILE" in done.err


def test_a_certificate_of_another_host(setting: Setting, tmp_path: Path) -> None:
    other = api.authority(tmp_path, host="192.0.2.7")
    with api.serving([api.gives(CANARY)], other.server) as server:
        done = setting.fetch(server.url, SSL_CERT_FILE=str(other.certificate))
    assert (done.status, setting.saved, server.seen) == (5, [], [])
    assert "Cannot trust" in done.err


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("http://127.0.0.1/", 2, "must begin with https://"),
        ("https://me:secret@127.0.0.1/", 2, "must not contain a user name"),
        ("prominence", 2, "is not a URL"),
        ("https://127.0.0.1:1/", 5, "Cannot connect to https://127.0.0.1:1/token"),
        ("https://nobody.invalid/", 5, "no host nobody.invalid"),
    ],
)
def test_a_url_that_is_none(url: str, status: int, words: str, setting: Setting) -> None:
    done = setting.fetch("", "--url", url)
    assert (done.status, setting.saved) == (status, []), done.err
    assert words in done.err


def test_user_data_with_a_fetched_token(setting: Setting) -> None:
    output = setting.folder / "user-data"
    options = (
        "--worker",
        "prominence",
        "--fetch-token",
        "--cloud",
        "c",
        "--region",
        "r",
        "--node-group",
        "g",
    )
    more = ("--pool", "prominence.example", "-o", str(output))
    with api.serving([api.gives(CANARY)], setting.trusted.server) as server:
        done = command("gen-userdata", *options, *more, env=setting.environment(server.url))
    assert done.status == 0, done.err
    assert CANARY in output.read_text()
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    for secret in setting.secrets:
        assert secret not in done.out + done.err


def test_user_data_without_a_fetched_token(setting: Setting) -> None:
    options = (
        "--worker",
        "prominence",
        "--cloud",
        "c",
        "--region",
        "r",
        "--node-group",
        "g",
        "--pool",
        "p.example",
    )
    with api.serving([api.says(401)], setting.trusted.server) as server:
        done = command("gen-userdata", *options, "--fetch-token", server.url, env=setting.environment(""))
    assert (done.status, done.out) == (2, "")
    assert "does not accept the user token" in done.err
    done = command("gen-userdata", "--project", "TG-A", "--fetch-token", server.url)
    assert done.status == 2
    assert "requires --worker prominence" in done.err
