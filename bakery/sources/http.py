"""HTTP requests for the metadata of repositories: with validators, short limits and a maximum size.

Proxies and certificates are those of bakery/sources/download.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from bakery import __version__
from provisioner.errors import Unreachable

# Seconds until a connection exists, and between two pieces of an answer.
_CONNECT, _SILENCE = 5.0, 20.0
LARGEST = 512 << 20  # bytes
_PASSWORD = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True)
class Answer:
    """An answer with status 200, 304 or 404; `body` is empty for the others than 200."""

    status: int
    body: bytes = b""
    etag: str = ""
    modified: str = ""


class Get(Protocol):
    """Makes a request; a validator makes it conditional. Raises Unreachable."""

    def __call__(self, url: str, etag: str = "", modified: str = "") -> Answer: ...


def get(url: str, etag: str = "", modified: str = "") -> Answer:
    """Make one request. Raises Unreachable: no answer, or another status than 200, 304 and 404."""
    import urllib3  # a fifth of a second, which a bake without questions does not need
    from urllib3.exceptions import HTTPError

    from bakery.sources import download

    limits = download.Limits(connect=_CONNECT, silence=_SILENCE)
    retries = urllib3.Retry(
        total=None, connect=1, read=0, status=0, other=0, redirect=5, backoff_factor=0.5
    )
    headers = {"User-Agent": f"worker-bakery/{__version__}", "Cache-Control": "no-cache"}
    if etag:
        headers["If-None-Match"] = etag
    if modified:
        headers["If-Modified-Since"] = modified
    try:
        pool = download.connection_pool(url, limits)
        answer = pool.request("GET", url, headers=headers, retries=retries, preload_content=False)
        body = answer.read(LARGEST, decode_content=False) if answer.status == 200 else b""
        answer.release_conn()
    except HTTPError as error:
        raise Unreachable(f"Cannot read {_shown(url)}: {download.reason(error)}.") from None
    if answer.status not in (200, 304, 404):
        raise Unreachable(f"Cannot read {_shown(url)}: the server responded with {answer.status}.")
    return Answer(
        answer.status, body, answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    )


def remembering(inner: Get = get) -> Get:
    """Make each request once: images of one store have the same repositories."""
    known: dict[tuple[str, str, str], Answer] = {}

    def ask(url: str, etag: str = "", modified: str = "") -> Answer:
        key = url, etag, modified
        if key not in known:
            known[key] = inner(*key)
        return known[key]

    return ask


def _shown(url: str) -> str:
    return _PASSWORD.sub("//", url)
