"""Get a worker's token from PROMINENCE: POST /token with the user's token; the answer is {"token": …}.

The API is that of PROMINENCE's document on workers. TLS certificates are verified (SSL_CERT_FILE adds
others); an answer is read with limits on its size and on the time, and never repeated in a message.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from bakery import __version__
from bakery.tokens.problems import problems_of
from provisioner.errors import BadInput, BakeryError, Unreachable
from provisioner.process.scrub import hide, scrub

_LARGEST = 64 * 1024  # bytes of an answer
_REDIRECTS = 3
_CREATED = (200, 201)
_REDIRECTING = (301, 302, 307, 308)


@dataclass(frozen=True)
class Limits:
    """Times in seconds: to connect, for a whole attempt, and before the second attempt (then doubled).

    `attempts` is how often a request is made that the server answers with an error of its own (5xx).
    """

    connect: float = 10.0
    attempt: float = 30.0
    pause: float = 1.0
    attempts: int = 4


@dataclass(frozen=True)
class Answer:
    """An answer of the server: `location` is that of a redirect, `kind` its media type."""

    status: int
    kind: str
    body: bytes = field(repr=False)
    location: str = ""


Post = Callable[[str, str, Limits], Answer]


def fetch(
    url: str,
    user_token: str,
    limits: Limits = Limits(),
    *,
    post: Post | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Return a new token for a worker of the user whose token is `user_token`.

    `url` is the URL of the API (PROMINENCE_URL). Raises BadInput: the URL or the user's token is wrong, or
    refused; Unreachable: no answer, or only errors of the server; BakeryError: the answer is no token.
    """
    endpoint = endpoint_of(url)
    check_user_token(user_token)
    hide(user_token)
    for attempt in range(limits.attempts):
        answer = _follow(endpoint, user_token, limits, post or request)
        if answer.status < 500:
            return _token_of(answer, endpoint)
        if attempt + 1 < limits.attempts:
            pause(limits.pause * 2**attempt)
    raise Unreachable(
        f"{endpoint} answered {limits.attempts} times with an error of the server ({answer.status}).",
        "Try again later, or ask the operators of PROMINENCE.",
    )


def endpoint_of(url: str) -> str:
    """Return the URL to which the request is sent. Raises BadInput."""
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and parts.port != 0 and re.fullmatch(r"[!-~]+", url) is not None
    except ValueError:
        valid = False
    if not valid:
        raise BadInput("The URL of PROMINENCE is not a URL.", "Use --url https://HOST/PATH.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise BadInput("The URL of PROMINENCE must not contain a user name, a query or a fragment.")
    if parts.scheme != "https":
        raise BadInput(
            f"The URL of PROMINENCE must begin with https://, not {scrub(parts.scheme)}://: the user's"
            " token would be sent in clear text."
        )
    return f"{url.rstrip('/')}/token"


def check_user_token(text: str) -> None:
    """Raise BadInput for a text that cannot stand in a header; the message does not contain it."""
    if not text:
        raise BadInput("The user token is empty.", "Log in to PROMINENCE and copy the token again.")
    if not re.fullmatch(r"[!-~]{1,16384}", text):
        raise BadInput(
            "The user token is not one word of printable ASCII.", "Copy all of it, and nothing else."
        )


def _follow(endpoint: str, user_token: str, limits: Limits, post: Post) -> Answer:
    """Post, also where the same server redirects to. Raises Unreachable, BadInput, BakeryError."""
    url = endpoint
    for _ in range(_REDIRECTS + 1):
        answer = post(url, user_token, limits)
        if answer.status not in _REDIRECTING:
            return answer
        target = urljoin(url, answer.location)
        if not answer.location or _origin(target) != _origin(url):
            raise BadInput(
                f"{endpoint} redirects to {_host(target)}; the user's token is not sent there.",
                "Check the URL of PROMINENCE (--url).",
            )
        url = target
    raise BadInput(f"{endpoint} redirects more than {_REDIRECTS} times.", "Check --url.")


def _origin(url: str) -> tuple[str, str | None, int] | None:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None


def _host(url: str) -> str:
    try:
        parts: SplitResult = urlsplit(url)
        named = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        named = ""
    return scrub(re.sub(r"[^!-~]", "?", named))[:100] if named else "nowhere"


def _token_of(answer: Answer, endpoint: str) -> str:
    if answer.status not in _CREATED:
        raise _refused(answer, endpoint)
    token = _field(answer, endpoint)
    hide(token)
    wrong = [one for one in problems_of(token, now=time.time()) if one.severity == "error"]
    if wrong:
        listed = " ".join(one.message for one in wrong)
        raise BakeryError(
            f"{endpoint} returned a token that a worker cannot use, which was not saved. {listed}",
            "Ask the operators of PROMINENCE.",
        )
    return token


def _field(answer: Answer, endpoint: str) -> str:
    try:
        found: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        kind = re.sub(r"[^a-z0-9/+.-]", "?", answer.kind.partition(";")[0].strip().lower()) or "no type"
        raise BakeryError(
            f"{endpoint} answered with something that is not JSON ({kind[:60]}).",
            "Check that --url is the URL of the API, not that of a web page.",
        ) from None
    token = found.get("token") if isinstance(found, dict) else None
    if not isinstance(token, str) or not token.strip():
        raise BakeryError(f"The answer of {endpoint} contains no token.", "Check --url.")
    return token.strip()


def _refused(answer: Answer, endpoint: str) -> BakeryError:
    if answer.status == 401:
        return BadInput(
            f"{endpoint} does not accept the user token (401): it is wrong or has expired.",
            "Log in to PROMINENCE again, and use the new token.",
        )
    if answer.status == 403:
        return BadInput(
            f"{endpoint} does not issue a token for a worker to this user (403).",
            "Ask the operators of PROMINENCE for the permission.",
        )
    if answer.status in (404, 405):
        return BadInput(f"There is no PROMINENCE API at {endpoint} ({answer.status}).", "Check --url.")
    return BakeryError(f"{endpoint} answered with the unexpected status {answer.status}.", "Check --url.")


def request(url: str, user_token: str, limits: Limits) -> Answer:
    """Make one request. Raises Unreachable, also when an answer does not end within the time.

    A thread makes it: a time-out of a socket alone does not limit a server that sends a byte a second.
    """
    done: list[Answer | BakeryError] = []

    def run() -> None:
        try:
            done.append(_post(url, user_token, limits))
        except BakeryError as error:
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limits.attempt)
    if not done:
        raise Unreachable(f"{url} did not answer within {limits.attempt:g} s.", "Try again later.")
    if isinstance(done[0], BakeryError):
        raise done[0]
    return done[0]


def _post(url: str, user_token: str, limits: Limits) -> Answer:
    import urllib3  # takes 0.1 s
    from urllib3.exceptions import HTTPError

    headers = {
        "Authorization": f"Token {user_token}",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": f"worker-bakery/{__version__}",
    }
    timeout = urllib3.Timeout(connect=limits.connect, read=limits.attempt)
    try:
        with _manager(url) as manager:
            options: dict[str, Any] = {"retries": False, "redirect": False, "preload_content": False}
            answer = manager.request("POST", url, headers=headers, timeout=timeout, **options)
            with closing(answer):
                body = answer.read(_LARGEST + 1)
                kind, location = (answer.headers.get(name, "") for name in ("Content-Type", "Location"))
    except (HTTPError, OSError) as error:
        raise _failed(url, error) from None
    if len(body) > _LARGEST:
        raise BakeryError(f"The answer of {url} is larger than {_LARGEST} bytes.", "Check --url.")
    return Answer(answer.status, kind, body, location)


def _manager(url: str) -> Any:
    import ssl
    import urllib.request

    import urllib3
    from urllib3.util import make_headers

    proxies, host = urllib.request.getproxies(), urlsplit(url).hostname or ""
    verified = ssl.create_default_context()
    proxy = proxies.get("https")
    if not proxy or urllib.request.proxy_bypass(host):
        return urllib3.PoolManager(ssl_context=verified)
    parts = urlsplit(proxy)
    login = make_headers(proxy_basic_auth=f"{parts.username}:{parts.password}") if parts.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=login, ssl_context=verified)


def _failed(url: str, error: Exception) -> Unreachable:
    from urllib3.exceptions import (
        ConnectTimeoutError,
        IncompleteRead,
        NameResolutionError,
        NewConnectionError,
        ProtocolError,
        ReadTimeoutError,
        SSLError,
    )

    if isinstance(error, SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        reason = re.search(r"certificate verify failed: ([a-zA-Z ,'-]+)", str(error))
        return Unreachable(
            f"Cannot trust {url}: {reason[1].strip() if reason else 'the TLS connection failed'}.",
            "Check --url. If your own authority signed the certificate, set SSL_CERT_FILE to its file.",
        )
    if isinstance(error, NameResolutionError):
        return Unreachable(f"There is no host {urlsplit(url).hostname}.", "Check --url.")
    if isinstance(error, NewConnectionError | ConnectTimeoutError):
        return Unreachable(f"Cannot connect to {url}.", "Check --url and the network.")
    if isinstance(error, ReadTimeoutError):
        return Unreachable(f"{url} did not answer in time.", "Try again later.")
    if isinstance(error, ProtocolError | IncompleteRead):
        return Unreachable(f"{url} cut the connection before the end of its answer.", "Try again later.")
    return Unreachable(f"The request to {url} failed ({type(error).__name__}).", "Try again later.")
