"""A cloud's metadata service: user-data for whoever asks, and the announced end of a machine."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bakery.machines.network import METADATA, Network

PATHS = ("/latest/user-data", "/openstack/latest/user_data")


@contextmanager
def serving(network: Network, user_data: str) -> Iterator[list[str]]:
    """The service, at its address on this network; and the paths it was asked for so far."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = self.path in PATHS
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(user_data.encode() if found else b"")

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with running(network, Handler):
        yield asked


@contextmanager
def running(network: Network, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
    """A server at the address of the service on this network."""
    server = ThreadingHTTPServer((METADATA, 80), handler, bind_and_activate=False)
    server.socket.close()  # it is on our own network
    server.socket = network.listen(METADATA, 80)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Announce = Callable[[float], None]


@contextmanager
def spot(network: Network) -> Iterator[Announce]:
    """As Amazon's, which announces nothing until it is told to, and how many seconds before the end.

    Only IMDSv2 is served: a token is asked for by PUT, and given with each question.
    """
    announced: dict[str, str] = {}
    secret = secrets.token_hex(16)

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            found = self.path == "/latest/api/token" and ttl.isdigit()
            self.answer(200 if found else 400, secret if found else "")

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") != secret:
                return self.answer(401, "")
            return self.answer(200 if self.path in announced else 404, announced.get(self.path, ""))

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    def announce(seconds: float) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        action = json.dumps({"action": "terminate", "time": at})
        announced["/latest/meta-data/spot/instance-action"] = action

    with running(network, Handler):
        yield announce
