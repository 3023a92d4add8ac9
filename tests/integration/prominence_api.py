"""A TLS server on loopback in the place of the PROMINENCE API; it behaves as a test defines."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "127.0.0.1"


@dataclass
class Api:
    """`plan` has the behaviour for each request, the last one repeats; `seen` are the requests."""

    plan: list[Behaviour]
    url: str = ""
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.api.seen.append((self.path, headers))
        self.close_connection = True
        with suppress(OSError, ssl.SSLError):  # the client may have gone
            self.api.plan[min(len(self.api.seen), len(self.api.plan)) - 1](self)

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        return

    def answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", headers.pop("length", str(len(body))))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


Behaviour = Callable[[Handler], None]


def gives(token: object, status: int = 201) -> Behaviour:
    return lambda handler: handler.answer(status, json.dumps({"token": token}).encode())


def says(status: int, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Behaviour:
    return lambda handler: handler.answer(status, body, kind, **headers)


def redirects(location: str, status: int = 307) -> Behaviour:
    return says(status, b"", Location=location)


def cuts(handler: Handler) -> None:
    """Close the connection in the middle of the answer."""
    handler.answer(201, b'{"token": "eyJ', length="4000")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def hangs_up(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent(handler: Handler) -> None:
    handler.api.over.wait(120)


def drips(handler: Handler) -> None:
    """Send a byte of the header now and then, for ever."""
    handler.wfile.write(b"HTTP/1.1 201 Created\r\nX-Long: ")
    while not handler.api.over.wait(0.05):
        handler.wfile.write(b"x")


@dataclass(frozen=True)
class Authority:
    """The files of a certificate authority, and of a server's certificate and key signed by it."""

    certificate: Path
    server: Path


def authority(folder: Path, host: str = HOST) -> Authority:
    """Make an authority and a server's certificate for an address, valid now."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name("Test authority")
    root = _builder(name, name, key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    signed = root.add_extension(usage, critical=True).sign(key, hashes.SHA256())
    server_key = ec.generate_private_key(ec.SECP256R1())
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    server = _builder(_name("server"), name, server_key.public_key()).add_extension(alternative, False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    leaf = server.add_extension(identifier, False).sign(key, hashes.SHA256())
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    own = server_key.private_bytes(pem, private, serialization.NoEncryption())
    made = Authority(folder / "ca.pem", folder / "server.pem")
    made.certificate.write_bytes(signed.public_bytes(pem))
    made.server.write_bytes(leaf.public_bytes(pem) + own)
    return made


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    made = made.serial_number(x509.random_serial_number())
    day = datetime.timedelta(days=1)
    return made.not_valid_before(now - day).not_valid_after(now + day)


@contextmanager
def serving(plan: list[Behaviour], server_file: Path) -> Iterator[Api]:
    """Serve until the block ends."""
    api = Api(plan)
    handler = type("Bound", (Handler,), {"api": api})
    server = ThreadingHTTPServer((HOST, 0), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    # The handshake happens in the thread of the connection, where a failed one does no harm.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is wanted
    api.url = f"https://{HOST}:{server.server_address[1]}/api"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
