"""A file over http, continued where it broke off, and believed by its digest only.

What has arrived is kept as `part`, and beside it, as JSON, what its server said of the whole: the URL
and the ETag or Last-Modified. The next attempt, of this process or a later one, asks for the rest.
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
_TELL_EVERY = 0.5  # seconds between two events of progress
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers worth asking again for
_LONGEST_PAUSE = 20.0
_REDIRECTS = urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=5)
# cloud.centos.org refuses who does not say what he is.
_AGENT = f"worker-bakery/{__version__}"


@dataclass(frozen=True)
class Limits:
    """Seconds, and failures in a row that brought nothing new."""

    connect: float = 10.0
    silence: float = 60.0  # of a server that has answered
    unanswered: float = 6.0  # until the first answer; whoever has no network is told soon
    failures: int = 5
    pause: float = 1.0  # before the second attempt; doubled from one to the next


@dataclass(frozen=True)
class Wanted:
    """A file and where it can be had, the first place first."""

    urls: tuple[str, ...]
    digest: str
    algorithm: str = "sha256"

    def is_in(self, path: Path) -> bool:
        return digest.of(path, self.algorithm) == self.digest


class _Broken(Exception):
    """An attempt ended early; another may bring the rest. `answered`: a server was there."""

    def __init__(self, why: str, *, answered: bool, pause: float = 0.0) -> None:
        super().__init__(why)
        self.answered = answered
        self.pause = pause


def fetch(wanted: Wanted, part: Path, monitor: Monitor, limits: Limits = Limits()) -> None:
    """Make `part` the whole file. What has the wrong digest is set aside, as NAME.damaged.

    Raises Unreachable, WrongChecksum, DiskFull, BadInput; of several places the last one's error.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    for place, url in enumerate(wanted.urls, 1):
        try:
            return _from(url, wanted, part, monitor, limits)
        except (Unreachable, WrongChecksum) as error:
            if place == len(wanted.urls):
                raise
            note(monitor, f"{error.message} The next place is tried.")
    raise BadInput("There is no URL to fetch from.")


def _from(url: str, wanted: Wanted, part: Path, monitor: Monitor, limits: Limits) -> None:
    joined = _download(url, wanted, part, monitor, limits)
    if wanted.is_in(part):
        return
    if joined:
        # The pieces may be of several files: a vendor's old and new one, or a mirror's.
        note(monitor, "What came in pieces does not fit together; all of it is fetched anew.")
        _forget(part)
        _download(url, wanted, part, monitor, limits)
        if wanted.is_in(part):
            return
    raise _wrong(url, wanted, part)


def _wrong(url: str, wanted: Wanted, part: Path) -> WrongChecksum:
    aside = part.with_suffix(".damaged")
    found = digest.of(part, wanted.algorithm)
    part.rename(aside)
    _forget(part)
    return WrongChecksum(
        f"{url} has the {wanted.algorithm} {found}, pinned is {wanted.digest}; "
        f"it was not used, and set aside as {aside}.",
        "If the vendor replaced the image, check its signed checksum file and change the pin.",
    )


def _download(url: str, wanted: Wanted, part: Path, monitor: Monitor, limits: Limits) -> bool:
    """All of it, in as many attempts as bring something; whether it is joined of several pieces.

    Raises Unreachable, DiskFull.
    """
    pool, started = _pool(url, limits), time.monotonic()
    failures, most, answered = 0, _size(part), False
    while True:
        pieces = _size(part) > 0
        try:
            _attempt(pool, url, part, monitor)
            return pieces
        except _Broken as broken:
            failures = 1 if _size(part) > most else failures + 1
            most, answered = max(most, _size(part)), answered or broken.answered
            pause = broken.pause or min(limits.pause * 2 ** (failures - 1), _LONGEST_PAUSE)
            late = not answered and time.monotonic() - started + pause > limits.unanswered
            if failures > limits.failures or late:
                if _size(part) == most > 0 and wanted.is_in(part):
                    return True  # the server said that it is longer than it is
                raise _gave_up(url, broken) from None
            line(monitor, f"{broken}; again in {pause:.0f} s")
            time.sleep(pause)
        except OSError as error:
            raise _unwritable(part, error) from None


def _gave_up(url: str, why: Exception | str) -> Unreachable:
    return Unreachable(f"{url} could not be fetched: {why}.")


def _unwritable(part: Path, error: OSError) -> BakeryError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"No space left for {part}.",
            "Free some space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    return BadInput(f"{part} cannot be written: {error.strerror}.")


def read(url: str, most: int = 4 << 20, limits: Limits = Limits()) -> bytes:
    """A small file, by one attempt. Raises Unreachable, BadInput."""
    try:
        headers = {"User-Agent": _AGENT}
        pool = _pool(url, limits)
        answer = pool.request("GET", url, headers=headers, preload_content=False, retries=_REDIRECTS)
        with closing(answer):
            if answer.status != 200:
                raise _gave_up(url, f"the server says {answer.status}")
            content = answer.read(most + 1)
    except HTTPError as error:
        raise _gave_up(url, _reason(_cause(error))) from None
    if len(content) > most:
        raise _gave_up(url, f"it is larger than {most} bytes")
    return content


# --- one attempt -------------------------------------------------------------------------------


def _attempt(pool: urllib3.PoolManager, url: str, part: Path, monitor: Monitor) -> None:
    """Ask for what is missing and append it; complete when this returns. Raises _Broken, Unreachable."""
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
        raise _Broken(f"the answer broke off: {_reason(error)}", answered=True) from None
    finally:
        answer.close()
    if total is not None and _size(part) < total:
        raise _Broken(f"only {_size(part)} of {total} bytes came", answered=True)


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
    """Make `part` what the answer's body goes on from; the whole file's size, if the server says it."""
    size, said = _size(part), _content_range(answer)
    if answer.status == 416 and said.total == size:
        return size  # nothing is missing
    if answer.status == 206 and said.start == size:
        _remember(part, url, answer)
        return said.total
    if answer.status in (206, 416):
        _forget(part)
        raise _Broken("the server has another file than before", answered=True)
    if answer.status != 200:
        raise _refused(url, answer)
    _forget(part)  # the whole file: it has changed, or this server knows no ranges
    _remember(part, url, answer)
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _append(
    answer: urllib3.BaseHTTPResponse, part: Path, total: int | None, monitor: Monitor, url: str
) -> None:
    name, told = url.rpartition("/")[2], 0.0
    with part.open("ab") as out:
        _require_space(out, part, total)
        for chunk in answer.stream(_CHUNK, decode_content=False):
            out.write(chunk)
            if time.monotonic() - told > _TELL_EVERY:
                told = time.monotonic()
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


# --- what can go wrong -------------------------------------------------------------------------


def _refused(url: str, answer: urllib3.BaseHTTPResponse) -> Exception:
    said = f"the server says {answer.status} {answer.reason or ''}".rstrip()
    if answer.status not in _PASSING:
        return _gave_up(url, said)
    later = answer.headers.get("Retry-After", "")
    pause = min(float(later), _LONGEST_PAUSE) if later.isdigit() else 0.0
    return _Broken(said, answered=True, pause=pause)


def _failed(url: str, error: HTTPError) -> Exception:
    cause = _cause(error)
    if isinstance(cause, SSLError):
        return Unreachable(
            f"{url} could not be fetched: the server's certificate is not to be trusted: {_reason(cause)}.",
            "If your site's own authority signs it, name its certificates in SSL_CERT_FILE.",
        )
    if "redirect" in str(cause):
        return _gave_up(url, "it redirects without end")
    return _Broken(_reason(cause), answered=False)


def _cause(error: HTTPError) -> Exception:
    return error.reason if isinstance(error, MaxRetryError) and error.reason else error


def _reason(error: BaseException) -> str:
    """The cause, without the library's names for objects."""
    return re.sub(r"<[^>]*>:? *|\w+\(.*?\): *", "", str(error)).strip(" .")


# --- proxies -----------------------------------------------------------------------------------


def _pool(url: str, limits: Limits) -> urllib3.PoolManager:
    """As http_proxy, https_proxy, all_proxy and no_proxy say. Raises BadInput."""
    timeout = urllib3.Timeout(connect=limits.connect, read=limits.silence)
    context = ssl.create_default_context()  # the system's authorities, or SSL_CERT_FILE's
    proxy = _proxy(url)
    if not proxy:
        return urllib3.PoolManager(timeout=timeout, ssl_context=context)
    try:
        address, headers = _split_user(proxy)
        return urllib3.ProxyManager(address, proxy_headers=headers, timeout=timeout, ssl_context=context)
    except (ProxySchemeUnknown, ValueError):
        raise BadInput(
            "The proxy variables name no http proxy.", "Set https_proxy to http://HOST:PORT."
        ) from None


def _proxy(url: str) -> str:
    parts, proxies = urlsplit(url), urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.netloc):
        return ""
    found = proxies.get(parts.scheme) or proxies.get("all") or ""
    return found if not found or "://" in found else f"http://{found}"


def _split_user(proxy: str) -> tuple[str, dict[str, str]]:
    """The proxy's address, and what it is told of its user; a message may then show the address."""
    parts = urlsplit(proxy)
    user, at, host = parts.netloc.rpartition("@")
    headers = make_headers(proxy_basic_auth=unquote(user)) if at else {}
    return f"{parts.scheme}://{host}", dict(headers)


# --- what is kept ------------------------------------------------------------------------------


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _known(part: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        found = json.loads(part.with_suffix(".json").read_text())
        if isinstance(found, dict):
            return found
    return {}


def _remember(part: Path, url: str, answer: urllib3.BaseHTTPResponse) -> None:
    """A weak ETag (W/…) promises a like meaning, not like bytes."""
    tag = answer.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    part.with_suffix(".json").write_text(json.dumps({"url": url, "validator": validator}))


def _forget(part: Path) -> None:
    """Empty, but there: who works on it holds a lock on it."""
    if part.exists():
        with part.open("r+b") as kept:
            kept.truncate()
    part.with_suffix(".json").unlink(missing_ok=True)


def several(urls: Sequence[str], own: str) -> tuple[str, ...]:
    """The places to try: `urls`, where one that ends in / is the file's folder, then the vendor's own."""
    name = own.rpartition("/")[2]
    return (*(f"{url}{name}" if url.endswith("/") else url for url in urls), own)
