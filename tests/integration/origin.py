"""An HTTP server on loopback that serves one file and misbehaves as a test defines."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "image.qcow2"


@dataclass
class Origin:
    """The served file. `plan` lists the behaviour for each request; the last one repeats.

    `seen` are the headers of all requests, `lines` their request lines.
    """

    content: bytes
    plan: list[Behaviour]
    tag: str = '"one"'
    url: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str]:
        """Return the requested ranges, "" for the whole file."""
        return [headers.get("range", "") for headers in self.seen]


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: Origin

    def do_GET(self) -> None:
        origin = self.origin
        origin.lines.append(self.requestline)
        origin.seen.append({name.lower(): value for name, value in self.headers.items()})
        behave = origin.plan[min(len(origin.seen), len(origin.plan)) - 1]
        self.close_connection = True
        behave(self)

    def log_message(self, *_: Any) -> None:
        return

    def start(self) -> int:
        """Return the offset of the requested range, 0 if If-Range names another file."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", self.origin.tag) == self.origin.tag
        return int(found[1]) if found and same else 0

    def head(self, status: int, headers: Mapping[str, object] = {}) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()


Behaviour = Callable[[Request], None]


def whole(request: Request) -> None:
    send(request, request.origin.content)


def send(request: Request, content: bytes, *, at: int | None = None, length: int | None = None) -> None:
    """Send the requested range.

    `at` replaces the start in Content-Range, `length` the value of Content-Length.
    """
    start = request.start()
    if start >= len(content):
        return request.head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": 0})
    body = content[start:]
    headers: dict[str, object] = {"Content-Length": length or len(body)}
    if request.origin.tag:
        headers["ETag"] = request.origin.tag
    if start:
        stated = start if at is None else at
        headers["Content-Range"] = f"bytes {stated}-{len(content) - 1}/{len(content)}"
    request.head(206 if start else 200, headers)
    request.wfile.write(body)
    return None


def cut_after(count: int) -> Behaviour:
    """Announce the whole length and close the connection after `count` bytes."""

    def behave(request: Request) -> None:
        _some(request, count)

    return behave


def stall_after(count: int) -> Behaviour:
    """Send `count` bytes, then nothing until the test ends."""

    def behave(request: Request) -> None:
        _some(request, count)
        request.wfile.flush()
        request.origin.over.wait(60)

    return behave


def _some(request: Request, count: int) -> None:
    content, start = request.origin.content, request.start()
    headers: dict[str, object] = {"Content-Length": len(content) - start, "ETag": request.origin.tag}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    request.head(206 if start else 200, headers)
    request.wfile.write(content[start : start + count])


def without_ranges(request: Request) -> None:
    request.head(200, {"Content-Length": len(request.origin.content)})
    request.wfile.write(request.origin.content)


def says(status: int, **headers: object) -> Behaviour:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def behave(request: Request) -> None:
        request.head(status, {"Content-Length": 0, **named})

    return behave


@contextmanager
def serving(origin: Origin, certificate: Path | None = None) -> Iterator[Origin]:
    """Run the server for the block; over https with a certificate and its key."""
    handler = type("Handler", (Request,), {"origin": origin})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "https" if certificate else "http"
    origin.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/{NAME}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield origin
    finally:
        origin.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
