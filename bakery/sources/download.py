"""Download a file over HTTP, resume interrupted downloads, and verify the digest.

An unfinished download is kept in `part`. A JSON file beside it contains the URL and the ETag or
Last-Modified of the complete file. The next attempt, of this process or a later one, requests the rest.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import ssl
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ProxySchemeUnknown, SSLError
from urllib3.util import make_headers

from bakery import __version__
from bakery.runtime import digest
from provisioner.errors import BadInput, BakeryError, DiskFull, Unreachable, WrongChecksum
from provisioner.events import Monitor, line, note, progress

_CHUNK = 1 << 20
_PROGRESS_EVERY = 0.5  # seconds between two progress events
_TEMPORARY_STATUSES = {408, 425, 429, 500, 502, 503, 504}  # temporary errors, worth another attempt
_MAX_PAUSE = 20.0
_REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
# cloud.centos.org rejects requests without a User-Agent.
_AGENT = f"worker-bakery/{__version__}"


@dataclass(frozen=True)
class Limits:
    """Timeouts and pauses in seconds, and the number of failed attempts in a row without new data."""

    connect: float = 10.0
    silence: float = 60.0  # read timeout
    unanswered: float = 6.0  # until the first response: without a network the command must fail early
    failures: int = 5
    pause: float = 1.0  # before the second attempt; doubled after each attempt


@dataclass(frozen=True)
class PinnedFile:
    """A file to download: its URLs in the order of preference, and its digest (hexadecimal)."""

    urls: tuple[str, ...]
    digest: str
    algorithm: str = "sha256"

    def is_complete(self, path: Path) -> bool:
        """Whether the file at `path` has the expected digest."""
        return digest.of(path, self.algorithm) == self.digest


class _Interrupted(Exception):
    """An attempt failed and may be repeated. `answered` is whether the server responded."""

    def __init__(self, why: str, *, answered: bool, pause: float = 0.0) -> None:
        super().__init__(why)
        self.answered = answered
        self.pause = pause


def fetch(pinned: PinnedFile, part: Path, monitor: Monitor, limits: Limits = Limits()) -> None:
    """Download the file to `part`. A file with the wrong digest is renamed to NAME.damaged.

    Raises Unreachable, WrongChecksum, DiskFull, BadInput: the error of the last URL.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    for number, url in enumerate(pinned.urls, 1):
        try:
            return _fetch_from(url, pinned, part, monitor, limits)
        except (Unreachable, WrongChecksum) as error:
            if number == len(pinned.urls):
                raise
            note(monitor, f"{error.message} Trying the next URL.")
    raise BadInput("There is no URL to download from.")


def _fetch_from(url: str, pinned: PinnedFile, part: Path, monitor: Monitor, limits: Limits) -> None:
    in_pieces = _download(url, pinned, part, monitor, limits)
    if pinned.is_complete(part):
        return
    if in_pieces:
        # The pieces may come from different files: the vendor's old and new one, or a mirror's.
        note(monitor, "The resumed download has the wrong digest; downloading it again from the start.")
        _forget(part)
        _download(url, pinned, part, monitor, limits)
        if pinned.is_complete(part):
            return
    raise _wrong_digest(url, pinned, part)


def _wrong_digest(url: str, pinned: PinnedFile, part: Path) -> WrongChecksum:
    damaged = part.with_suffix(".damaged")
    found = digest.of(part, pinned.algorithm)
    part.rename(damaged)
    _forget(part)
    return WrongChecksum(
        f"{url} has the {pinned.algorithm} {found}, expected {pinned.digest}; "
        f"it was not used, and renamed to {damaged}.",
        "If the vendor replaced the image, verify the signed checksum file and update the pin.",
    )


def _download(url: str, pinned: PinnedFile, part: Path, monitor: Monitor, limits: Limits) -> bool:
    """Download all of the file, repeating attempts while they bring new data.

    Returns whether it consists of several pieces. Raises Unreachable, DiskFull.
    """
    pool, started = connection_pool(url, limits), time.monotonic()
    failures, most, answered = 0, _size(part), False
    while True:
        resumed = _size(part) > 0
        try:
            _attempt(pool, url, part, monitor)
            return resumed
        except _Interrupted as interruption:
            failures = 1 if _size(part) > most else failures + 1
            most, answered = max(most, _size(part)), answered or interruption.answered
            pause = interruption.pause or min(limits.pause * 2 ** (failures - 1), _MAX_PAUSE)
            timed_out = not answered and time.monotonic() - started + pause > limits.unanswered
            if failures > limits.failures or timed_out:
                if _size(part) == most > 0 and pinned.is_complete(part):
                    return True  # the server announced too large a size
                raise _unreachable(url, interruption) from None
            line(monitor, f"{interruption}; retrying in {pause:.0f} s")
            time.sleep(pause)
        except OSError as error:
            raise _unwritable(part, error) from None


def _unreachable(url: str, why: Exception | str) -> Unreachable:
    return Unreachable(f"Cannot download {url}: {why}.")


def _unwritable(part: Path, error: OSError) -> BakeryError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"No space left on device for {part}.",
            "Free some disk space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    return BadInput(f"Cannot write {part}: {error.strerror}.")


def read(url: str, most: int = 4 << 20, limits: Limits = Limits()) -> bytes:
    """Return a small file, of at most `most` bytes, with a single attempt. Raises Unreachable, BadInput."""
    try:
        headers = {"User-Agent": _AGENT}
        pool = connection_pool(url, limits)
        answer = pool.request("GET", url, headers=headers, preload_content=False, retries=_REDIRECTS)
        with closing(answer):
            if answer.status != 200:
                raise _unreachable(url, f"the server responded with {answer.status}")
            content = answer.read(most + 1)
    except HTTPError as error:
        raise _unreachable(url, _reason(_cause(error))) from None
    if len(content) > most:
        raise _unreachable(url, f"the file is larger than {most} bytes")
    return content


# --- one attempt -------------------------------------------------------------------------------


def _attempt(pool: urllib3.PoolManager, url: str, part: Path, monitor: Monitor) -> None:
    """Request the missing part and append it; return when the file is complete.

    Raises _Interrupted, Unreachable.
    """
    try:
        headers = _headers(url, part)
        answer = pool.request("GET", url, headers=headers, preload_content=False, retries=_REDIRECTS)
    except HTTPError as error:
        raise _failed(url, error) from None
    try:
        total = _begin(answer, url, part)
        if total is None or _size(part) < total:
            _append(answer, part, total, monitor, url)
    except (HTTPError, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise _Interrupted(f"the connection broke: {_reason(error)}", answered=True) from None
    finally:
        answer.close()
    if total is not None and _size(part) < total:
        raise _Interrupted(f"received only {_size(part)} of {total} bytes", answered=True)


def _headers(url: str, part: Path) -> dict[str, str]:
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    size = _size(part)
    if size:
        headers["Range"] = f"bytes={size}-"
        known = _known(part)
        if known.get("url") == url and known.get("validator"):
            headers["If-Range"] = known["validator"]
    return headers


def _begin(answer: urllib3.BaseHTTPResponse, url: str, part: Path) -> int | None:
    """Prepare `part` for the body of the response; return the total size, None if unknown."""
    size, stated = _size(part), _content_range(answer)
    if answer.status == 416 and stated.total == size:
        return size  # nothing is missing
    if answer.status == 206 and stated.start == size:
        _remember(part, url, answer)
        return stated.total
    if answer.status in (206, 416):
        _forget(part)
        raise _Interrupted("the file on the server has changed", answered=True)
    if answer.status != 200:
        raise _refused(url, answer)
    _forget(part)  # the whole file: it has changed, or the server does not support ranges
    _remember(part, url, answer)
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _append(
    answer: urllib3.BaseHTTPResponse, part: Path, total: int | None, monitor: Monitor, url: str
) -> None:
    name, reported = url.rpartition("/")[2], 0.0
    with part.open("ab") as out:
        _require_space(out, part, total)
        for chunk in answer.stream(_CHUNK, decode_content=False):
            out.write(chunk)
            if time.monotonic() - reported > _PROGRESS_EVERY:
                reported = time.monotonic()
                progress(monitor, name, out.tell(), total)
        progress(monitor, name, out.tell(), total)


def _require_space(out: IO[bytes], part: Path, total: int | None) -> None:
    if total is not None and shutil.disk_usage(part.parent).free < total - out.tell():
        raise OSError(errno.ENOSPC, "No space left on device")


@dataclass(frozen=True)
class _ContentRange:
    start: int | None
    total: int | None


def _content_range(answer: urllib3.BaseHTTPResponse) -> _ContentRange:
    found = re.fullmatch(
        r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", "").strip()
    )
    if not found:
        return _ContentRange(None, None)
    start, total = found.groups()
    return _ContentRange(int(start) if start else None, int(total) if total != "*" else None)


# --- errors -------------------------------------------------------------------------


def _refused(url: str, answer: urllib3.BaseHTTPResponse) -> Exception:
    status = f"the server responded with {answer.status} {answer.reason or ''}".rstrip()
    if answer.status not in _TEMPORARY_STATUSES:
        return _unreachable(url, status)
    later = answer.headers.get("Retry-After", "")
    pause = min(float(later), _MAX_PAUSE) if later.isdigit() else 0.0
    return _Interrupted(status, answered=True, pause=pause)


def _failed(url: str, error: HTTPError) -> Exception:
    cause = _cause(error)
    if isinstance(cause, SSLError):
        return Unreachable(
            f"Cannot download {url}: the server's certificate is not trusted: {_reason(cause)}.",
            "If your site has its own certificate authority, set SSL_CERT_FILE to its certificates.",
        )
    if "redirect" in str(cause):
        return _unreachable(url, "too many redirects")
    return _Interrupted(_reason(cause), answered=False)


def _cause(error: HTTPError) -> Exception:
    return error.reason if isinstance(error, MaxRetryError) and error.reason else error


def reason(error: HTTPError) -> str:
    """Return why a request failed, for a message."""
    return _reason(_cause(error))


def _reason(error: BaseException) -> str:
    """Return the message of an error without the names of urllib3's objects."""
    return re.sub(r"<[^>]*>:? *|\w+\(.*?\): *", "", str(error)).strip(" .")


# --- proxies -----------------------------------------------------------------------------------


def connection_pool(url: str, limits: Limits) -> urllib3.PoolManager:
    """Return a connection pool that honours http_proxy, https_proxy, all_proxy and no_proxy.

    Raises BadInput.
    """
    timeout = urllib3.Timeout(connect=limits.connect, read=limits.silence)
    context = ssl.create_default_context()  # the system's certificate authorities, or SSL_CERT_FILE
    proxy = _proxy(url)
    if not proxy:
        return urllib3.PoolManager(timeout=timeout, ssl_context=context)
    try:
        address, headers = _split_user(proxy)
        return urllib3.ProxyManager(address, proxy_headers=headers, timeout=timeout, ssl_context=context)
    except (ProxySchemeUnknown, ValueError):
        raise BadInput(
            "The proxy variables do not name an HTTP proxy.", "Set https_proxy to http://HOST:PORT."
        ) from None


def _proxy(url: str) -> str:
    parts, proxies = urlsplit(url), urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.netloc):
        return ""
    found = proxies.get(parts.scheme) or proxies.get("all") or ""
    return found if not found or "://" in found else f"http://{found}"


def _split_user(proxy: str) -> tuple[str, dict[str, str]]:
    """Return the proxy's address without the user, for messages, and the header with the credentials."""
    parts = urlsplit(proxy)
    user, at, host = parts.netloc.rpartition("@")
    headers = make_headers(proxy_basic_auth=unquote(user)) if at else {}
    return f"{parts.scheme}://{host}", dict(headers)


# --- the partial file ------------------------------------------------------------------------------


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _known(part: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        found = json.loads(part.with_suffix(".json").read_text())
        if isinstance(found, dict):
            return found
    return {}


def _remember(part: Path, url: str, answer: urllib3.BaseHTTPResponse) -> None:
    """Store the validator of the response. A weak ETag (W/…) does not guarantee equal bytes."""
    tag = answer.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    part.with_suffix(".json").write_text(json.dumps({"url": url, "validator": validator}))


def _forget(part: Path) -> None:
    """Truncate the file; it must not be removed, because this process holds a lock on it."""
    if part.exists():
        with part.open("r+b") as file:
            file.truncate()
    part.with_suffix(".json").unlink(missing_ok=True)


def candidate_urls(urls: Sequence[str], own: str) -> tuple[str, ...]:
    """Return the URLs to try: `urls`, then the vendor's.

    A URL that ends in / is the folder of the file.
    """
    name = own.rpartition("/")[2]
    return (*(f"{url}{name}" if url.endswith("/") else url for url in urls), own)
