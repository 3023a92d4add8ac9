"""A signed apt repository on loopback that counts its requests and answers conditional ones."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.integration import repository

NAME = "cvmfs"  # the package of the role that has a temporary repository


class Handler(repository.Quiet):
    """Sends an ETag, and 304 to whoever has it. Notes each request as path and status."""

    def __init__(self, archive: Archive, *args: object) -> None:
        self.archive = archive
        super().__init__(*args, directory=str(archive.folder))  # type: ignore[arg-type]  # socketserver's

    def do_GET(self) -> None:
        file = Path(self.translate_path(self.path))
        status = 404
        if self.archive.broken:
            status = 503
        elif file.is_file():
            content = file.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            status = 304 if self.headers.get("If-None-Match") == tag else 200
        self.archive.seen.append((self.path, status))
        self.send_response(status)
        body = content if status == 200 else b""
        if status in (200, 304):
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@dataclass
class Archive:
    """`folder` is a flat repository, `seen` are the requests since the last `forget`."""

    folder: Path
    url: str = ""
    key: str = ""
    broken: bool = False
    seen: list[tuple[str, int]] = field(default_factory=list)

    def publish(self, *versions: str) -> None:
        """Offer exactly these versions of the package."""
        for old in self.folder.glob("*.deb"):
            old.unlink()
        for version in versions:
            files = {f"opt/cvmfs/version-{version}": (f"{version}\n", 0o644)}
            repository.package(
                self.folder, NAME, "Depends: autofs\n", files, version, file=f"{NAME}_{version}"
            )
        self.sign()

    def sign(self) -> None:
        """Make the metadata of the packages that it has, with a new signature."""
        self.key = repository.index(self.folder, "Test-Security")

    def forget(self) -> None:
        self.seen.clear()

    def asked(self) -> list[tuple[str, int]]:
        """The requests for metadata and lists."""
        return [(path.removeprefix("/"), status) for path, status in self.seen]

    def source(self, at: Path) -> Path:
        """Its definition, for --apt-source."""
        key = repository.as_field(self.key)
        at.write_text(f"Types: deb\nURIs: {self.url}\nSuites: ./\nSigned-By:{key}\n")
        return at


@contextmanager
def serving(folder: Path) -> Iterator[Archive]:
    folder.mkdir()
    archive = Archive(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, archive))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    archive.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
