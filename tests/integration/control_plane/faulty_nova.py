"""A proxy of Nova that fails when servers are created:  faulty_nova.py ITS-URL NOVA-URL FAULT… READY

A FAULT is NUMBER:KIND, of the request of this number that creates a server, counted from 1:

    500     the server is created, and the answer is an error
    drop    the server is created, and the connection is closed without an answer
    429     the server is not created: too many requests
    hang    the server is not created, and there is no answer

or console:FILE: the console log of every server is this file. Nova's fake driver has no consoles.

READY is a file that appears when the proxy listens.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ITS, NOVA = urlsplit(sys.argv[1]), urlsplit(sys.argv[2])
_WORDS = [word.split(":", 1) for word in sys.argv[3:-1]]
FAULTS = {int(number): kind for number, kind in _WORDS if number != "console"}
CONSOLE = next((kind for number, kind in _WORDS if number == "console"), "")
_lock, _count = threading.Lock(), 0


def next_fault() -> str:
    global _count
    with _lock:
        _count += 1
        return FAULTS.get(_count, "")


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        creates = self.command == "POST" and urlsplit(self.path).path.endswith("/servers")
        fault = next_fault() if creates else ""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault == "hang":
            threading.Event().wait()
        if fault == "429":
            self.answer(429, b'{"overLimit": {"code": 429, "message": "too many", "retryAfter": "1"}}')
            return
        if CONSOLE and b"os-getConsoleOutput" in body:
            lines = Path(CONSOLE).read_text("utf-8", "replace").splitlines()[-200:]
            self.answer(200, json.dumps({"output": "\n".join(lines)}).encode())
            return
        status, data, more = self.forwarded(body)
        if fault == "drop":
            self.close_connection = True
        elif fault:
            self.answer(int(fault), b'{"computeFault": {"code": 500, "message": "an accident"}}')
        else:
            self.answer(status, data, more)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def forwarded(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        upstream = http.client.HTTPConnection(NOVA.hostname or "", NOVA.port)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        upstream.request(self.command, self.path, body, headers)
        found = upstream.getresponse()
        kept = {name: value for name, value in found.getheaders() if name.lower() == "content-type"}
        return found.status, found.read(), kept

    def answer(self, status: int, data: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (more or {"Content-Type": "application/json"}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = ThreadingHTTPServer((ITS.hostname or "", ITS.port or 0), Proxy)
    Path(sys.argv[-1]).touch()
    server.serve_forever()
