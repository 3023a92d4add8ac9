"""Requests to PROMINENCE: retries, redirects and URLs, without a network."""

from __future__ import annotations

import json
import time

import pytest

from bakery.tokens import https_post, prominence, signing
from bakery.tokens.https_post import Answer, Limits
from provisioner.errors import BadInput, BakeryError, Unreachable

URL = "https://prominence.example/api"
TOKEN = signing.mint(
    b"k" * 64, "token_key", issuer="p", subject="a@cloud", scopes=["ADVERTISE_STARTD"], lifetime=86400 * 9
)
CREATED = Answer(201, "application/json", json.dumps({"token": TOKEN}).encode())


class Server:
    """Answers in turn; the last answer repeats."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.urls: list[str] = []
        self.pauses: list[float] = []

    def post(self, url: str, user_token: str, limits: Limits) -> Answer:
        assert user_token == "user-token"
        self.urls.append(url)
        return self.answers[min(len(self.urls), len(self.answers)) - 1]

    def fetch(self, url: str = URL) -> str:
        return prominence.fetch(url, "user-token", post=self.post, pause=self.pauses.append)


def answer(status: int, location: str = "") -> Answer:
    return Answer(status, "text/plain", b"", location)


def test_a_token() -> None:
    server = Server(CREATED)
    assert server.fetch(URL + "/") == TOKEN
    assert server.urls == [f"{URL}/token"]


def test_only_errors_of_the_server_are_tried_again() -> None:
    server = Server(answer(500), answer(502), CREATED)
    assert server.fetch() == TOKEN
    assert server.pauses == [1, 2]
    for status in (400, 401, 403, 404, 418, 429):
        server = Server(answer(status), CREATED)
        with pytest.raises(BakeryError):
            server.fetch()
        assert len(server.urls) == 1


def test_it_gives_up() -> None:
    server = Server(answer(503))
    with pytest.raises(Unreachable, match="4 times"):
        server.fetch()
    assert server.pauses == [1, 2, 4]


@pytest.mark.parametrize(
    "location",
    [
        "https://other.example/token",
        "http://prominence.example/token",
        "https://prominence.example:444/",
        "//x/",
        "",
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_server_is_refused(location: str, status: int) -> None:
    server = Server(answer(status, location), CREATED)
    with pytest.raises(BadInput):
        server.fetch()
    assert len(server.urls) == 1


@pytest.mark.parametrize(
    "location", ["/v2", "https://prominence.example:443/v2", "https://PROMINENCE.example/v2"]
)
def test_a_redirect_on_the_server_is_followed(location: str) -> None:
    server = Server(answer(308, location), CREATED)
    assert server.fetch() == TOKEN
    assert server.urls[1].endswith("/v2")


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "http://a/", "ftp://a/", "https://", "https://u@a/", "https://u:p@a/", "https://a/?q=1",
        "https://a/#f", "https://a b/", "https://a:0/", "https://a:x/", "https://a/\n", "https://[::1",
    ],
)  # fmt: skip
def test_a_url_that_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        prominence.endpoint_of(url)


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "\u00e9", "x" * 20_000])
def test_a_user_token_that_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        prominence.fetch(URL, text, post=Server(CREATED).post)
    assert not text or text not in str(caught.value)


def test_a_silent_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limit is that of the whole request."""
    monkeypatch.setattr(https_post, "_post", lambda *_: time.sleep(0.5))
    with pytest.raises(Unreachable, match="did not answer within"):
        https_post.request(URL, "user-token", Limits(attempt=0.01))


def test_an_unexpected_error_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the thread, which would print it with all that its message contains."""

    def fails(*_: object) -> None:
        raise ValueError("Invalid header value")

    monkeypatch.setattr(https_post, "_post", fails)
    with pytest.raises(ValueError, match="Invalid header"):
        https_post.request(URL, "user-token", Limits())
