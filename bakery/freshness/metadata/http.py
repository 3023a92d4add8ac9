"""HTTP requests for the metadata of repositories: with validators, short limits and a maximum size.

Proxies and certificates are those of bakery/sources/download.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

import urllib3
from urllib3.exceptions import HTTPError

from bakery import __version__
from bakery.sources import download
from provisioner.errors import Unreachable

# Seconds until a connection exists, and between two pieces of an answer.
LIMITS = download.Limits(connect=5.0, silence=20.0)
LARGEST = 512 << 20  # bytes
_RETRIES = urllib3.Retry(total=None, connect=1, read=0, status=0, other=0, redirect=5, backoff_factor=0.5)
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
    headers = {"User-Agent": f"worker-bakery/{__version__}", "Cache-Control": "no-cache"}
    if etag:
        headers["If-None-Match"] = etag
    if modified:
        headers["If-Modified-Since"] = modified
    try:
        pool = download.connection_pool(url, LIMITS)
        answer = pool.request("GET", url, headers=headers, retries=_RETRIES, preload_content=False)
        body = answer.read(LARGEST, decode_content=False) if answer.status == 200 else b""
        answer.release_conn()
    except HTTPError as error:
        raise Unreachable(f"Cannot read {_shown(url)}: {download.reason(error)}.") from None
    if answer.status not in (200, 304, 404):
        raise Unreachable(f"Cannot read {_shown(url)}: the server responded with {answer.status}.")
    return Answer(
        answer.status, body, answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", "")
    )


def _shown(url: str) -> str:
    return _PASSWORD.sub("//", url)
