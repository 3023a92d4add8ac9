"""A cloud's metadata service, as far as it hands out user-data to whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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

    server = ThreadingHTTPServer((METADATA, 80), Handler, bind_and_activate=False)
    server.socket.close()  # it is on our own network
    server.socket = network.listen(METADATA, 80)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
