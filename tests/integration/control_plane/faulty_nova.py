"""A proxy of Nova that fails when servers are created:  faulty_nova.py ITS-URL NOVA-URL FAULT… READY

A FAULT is NUMBER:KIND, of the request of this number that creates a server, counted from 1:

    500     the server is created, and the answer is an error
    drop    the server is created, and the connection is closed without an answer
    429     the server is not created: too many requests
    hang    the server is not created, and there is no answer
    ended   the server is not created: READY.paused appears, the proxy waits until READY.resume does, and
            answers that the token has ended. (Nova itself remembers for minutes that a token is valid.)

or one of these:

    console:FILE   the console log of every server is this file; Nova's fake driver has no consoles
    cinder:FILE    a stand-in for Cinder, at /cinder/v3: its limits are this file, and it has nothing else
    record:FILE    requests that create servers are appended to the file, one a line, without user-data

READY is a file that appears when the proxy listens.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ITS, NOVA = urlsplit(sys.argv[1]), urlsplit(sys.argv[2])
_WORDS = [word.split(":", 1) for word in sys.argv[3:-1]]
FAULTS = {int(number): kind for number, kind in _WORDS if number.isdigit()}
FILES = {name: Path(path) for name, path in _WORDS if not name.isdigit()}
READY = Path(sys.argv[-1])
_lock, _count = threading.Lock(), 0


def next_fault() -> str:
    global _count
    with _lock:
        _count += 1
        return FAULTS.get(_count, "")


def record(body: bytes) -> None:
    if "record" in FILES:
        asked = json.loads(body)
        asked["server"].pop("user_data", None)
        with _lock, FILES["record"].open("a") as out:
            out.write(json.dumps(asked) + "\n")


def cinder(path: str) -> bytes:
    if urlsplit(path).path.endswith("/limits"):
        return FILES["cinder"].read_bytes()
    links = [{"rel": "self", "href": f"{ITS.scheme}://{ITS.netloc}/cinder/v3/"}]
    about = {"id": "v3.0", "status": "CURRENT", "version": "3.70", "min_version": "3.0", "links": links}
    return json.dumps({"version": about}).encode()


def pause() -> None:
    """Until the test goes on."""
    READY.with_suffix(".paused").touch()
    while not READY.with_suffix(".resume").exists():
        time.sleep(0.1)


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        creates = self.command == "POST" and urlsplit(self.path).path.endswith("/servers")
        fault = next_fault() if creates else ""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "cinder" in FILES and self.path.startswith("/cinder/"):
            self.answer(200, cinder(self.path))
            return
        if creates:
            record(body)
        if fault == "hang":
            threading.Event().wait()
        if fault == "ended":
            pause()
            self.answer(401, b'{"error": {"code": 401, "title": "Unauthorized", "message": "ended"}}')
            return
        if fault == "429":
            self.answer(429, b'{"overLimit": {"code": 429, "message": "too many", "retryAfter": "1"}}')
            return
        if "console" in FILES and b"os-getConsoleOutput" in body:
            lines = FILES["console"].read_text("utf-8", "replace").splitlines()[-200:]
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
    READY.touch()
    server.serve_forever()
