"""An HTTP proxy in front of a server on loopback: it records the request lines, and may change bodies."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Change = Callable[[str, bytes], bytes]
_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")


@dataclass
class Proxy:
    """`lines` are the request lines, in their order; `change` gets the request line and the body."""

    server: str  # HOST:PORT
    change: Change
    lines: list[str] = field(default_factory=list)
    url: str = ""


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def forward(self) -> None:
        """With the headers as they are: S3 has signed that with the name of the host."""
        self.proxy.lines.append(self.requestline)
        body = self.proxy.change(
            self.requestline, self.rfile.read(int(self.headers.get("Content-Length", "0")))
        )
        with closing(http.client.HTTPConnection(self.proxy.server, timeout=600)) as connection:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":  # which this server has met
                    connection.putheader(name, value)
            connection.endheaders(body)
            self._answer(connection.getresponse())

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        content = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        if answer.status != 204 and length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = forward

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def recording(url: str, change: Change = lambda _, body: body) -> Iterator[Proxy]:
    """Run a proxy for the server of `url` for the block."""
    proxy = Proxy(urlsplit(url).netloc, change)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Request,), {"proxy": proxy}))
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
