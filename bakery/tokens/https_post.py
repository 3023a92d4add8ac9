"""Post to a server over verified TLS, with a limit on the time and the size of the answer.

No message contains the user's token, or anything of the answer.
"""

from __future__ import annotations

import re
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bakery import __version__
from provisioner.errors import BakeryError, Unreachable

_LARGEST = 64 * 1024  # bytes of an answer


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


def request(url: str, user_token: str, limits: Limits) -> Answer:
    """Make one request. Raises Unreachable, also when an answer does not end within the time.

    A thread makes it: a time-out of a socket alone does not limit a server that sends a byte a second.
    """
    done: list[Answer | Exception] = []

    def run() -> None:
        try:
            done.append(_post(url, user_token, limits))
        except Exception as error:  # raised again below, where messages are scrubbed
            done.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limits.attempt)
    if not done:
        raise Unreachable(f"{url} did not answer within {limits.attempt:g} s.", "Try again later.")
    if isinstance(done[0], Exception):
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
