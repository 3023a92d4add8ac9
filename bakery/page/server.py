"""Serve the page on this machine: on loopback, from memory, with the headers that a site should send."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from posixpath import splitext

from bakery.page import runtime
from provisioner.errors import BakeryError

HOST = "127.0.0.1"
# 'wasm-unsafe-eval' lets the page compile WebAssembly, which Pyodide is; it does not permit eval().
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".zip": "application/zip",
    ".txt": "text/plain; charset=utf-8",
}


def listening(files: Mapping[str, bytes], port: int) -> ThreadingHTTPServer:
    """Return a server of these files on loopback; port 0 lets the system choose one."""
    digests = {name: f'"{hashlib.sha256(data).hexdigest()[:32]}"' for name, data in files.items()}

    class Handler(_Handler):
        served = files
        tags = digests

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except OSError as problem:
        raise BakeryError(
            f"Cannot listen on {HOST}:{port}: {problem.strerror}.", "Choose another port: --serve PORT."
        ) from None


def address(server: ThreadingHTTPServer) -> str:
    return f"http://{HOST}:{server.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; browsers keep a file until its digest changes."""

    protocol_version = "HTTP/1.1"
    served: Mapping[str, bytes]
    tags: Mapping[str, str]

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        # A browser sends a path; the whole address in its place is for proxies, and no file here.
        name = self.path.partition("?")[0].lstrip("/") or "index.html"
        data = self.served.get(name)
        if not self._is_local() or data is None:
            self._send(HTTPStatus.NOT_FOUND if self._is_local() else HTTPStatus.FORBIDDEN, b"", "")
        elif self.headers.get("If-None-Match") == self.tags[name]:
            self._send(HTTPStatus.NOT_MODIFIED, b"", name)
        else:
            self._send(HTTPStatus.OK, data, name, body=body)

    def _is_local(self) -> bool:
        """Refuse other names of this address, so that no foreign site can read it (DNS rebinding)."""
        host, _, port = self.headers.get("Host", "").lower().partition(":")
        return host in (HOST, "localhost") and (not port or port.isdecimal())

    def handle(self) -> None:
        with suppress(ConnectionError):  # a browser that has left does not wait for its answer
            super().handle()

    def end_headers(self) -> None:
        """Every answer has the policy, also those of the library to other methods."""
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        super().end_headers()

    def _send(self, status: HTTPStatus, data: bytes, name: str, *, body: bool = True) -> None:
        self.send_response(status)
        pinned = name.startswith(runtime.FOLDER)
        self.send_header("Cache-Control", "max-age=31536000, immutable" if pinned else "no-cache")
        if name:
            self.send_header("Content-Type", _TYPES[splitext(name)[1]])
            self.send_header("ETag", self.tags[name])
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the address of a request says nothing that the user does not see."""
