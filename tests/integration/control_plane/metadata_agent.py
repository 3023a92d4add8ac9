"""Neutron's metadata agent, for one server:  metadata_agent.py SERVER PROJECT NOVA.CONF READY

It forwards requests to Nova's metadata service, and says, signed, which server asks, as
neutron.agent.metadata does. READY is a file that appears when it listens.
"""

from __future__ import annotations

import configparser
import hashlib
import hmac
import http.client
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ADDRESS, PORT, NOVA = "169.254.169.254", 80, ("127.0.0.1", 8776)
SERVER, PROJECT = sys.argv[1:3]
_CONF = configparser.RawConfigParser(strict=False)
_CONF.read(sys.argv[3])
SECRET = _CONF["neutron"]["metadata_proxy_shared_secret"]


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        signature = hmac.new(SECRET.encode(), SERVER.encode(), hashlib.sha256).hexdigest()
        about = {"X-Instance-ID": SERVER, "X-Tenant-ID": PROJECT, "X-Instance-ID-Signature": signature}
        upstream = http.client.HTTPConnection(*NOVA)
        upstream.request("GET", self.path, headers={**about, "X-Forwarded-For": self.client_address[0]})
        found = upstream.getresponse()
        data = found.read()
        self.send_response(found.status)
        self.send_header("Content-Type", found.getheader("Content-Type") or "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = ThreadingHTTPServer((ADDRESS, PORT), Agent)
    Path(sys.argv[4]).touch()
    server.serve_forever()
