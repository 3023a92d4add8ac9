"""A Debian repository on loopback, signed, of packages that are made here."""

from __future__ import annotations

import email.utils
import hashlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from provisioner.process import run


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test's output is not the place."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder while the block runs."""
    with listening(folder, socket.create_server(("127.0.0.1", 0))) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def listening(folder: Path, listener: socket.socket) -> Iterator[int]:
    """The port at which a folder is served while the block runs; `listener` listens already."""
    server = ThreadingHTTPServer(("", 0), partial(Quiet, directory=folder), bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.shutdown()
        server.server_close()


def package(
    folder: Path,
    name: str,
    control: str,
    files: Mapping[str, tuple[str, int]],
    version: str = "1",
    file: str = "",
) -> None:
    """Build one of these files, path: (content, mode), with dpkg-deb; as `file`.deb, or named as it is."""
    root = folder / f"{file or name}.root"
    said = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@invalid>\n"
    everything = {"DEBIAN/control": (f"{said}{control}Description: made for a test\n", 0o644), **files}
    for path, (content, mode) in everything.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        target.chmod(mode)
    run.call(["dpkg-deb", "--root-owner-group", "--build", str(root), str(folder / f"{file or name}.deb")])


def _entry(file: Path) -> str:
    """What the index says of a package: its own words, and where it lies."""
    content = file.read_bytes()
    where = (
        f"Filename: ./{file.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    )
    return run.call(["dpkg-deb", "--field", str(file)]).stdout + where


def suite(folder: Path, name: str, components: Mapping[str, Sequence[str]]) -> str:
    """Make it a repository with a suite whose components have these packages; return its key, armored."""
    packages = "dists", name
    listed = ""
    for component, names in components.items():
        at = Path(component, "binary-amd64", "Packages")
        text = "\n".join(_entry(folder / f"{one}.deb") for one in names)
        where = folder.joinpath(*packages, at)
        where.parent.mkdir(parents=True)
        where.write_text(text)
        listed += f" {hashlib.sha256(text.encode()).hexdigest()} {len(text.encode())} {at}\n"
    date = email.utils.formatdate(usegmt=True)
    fields = f"Origin: test\nLabel: test\nSuite: {name}\nCodename: {name}\nArchitectures: amd64\n"
    released = f"{fields}Components: {' '.join(components)}\nDate: {date}\nSHA256:\n{listed}"
    folder.joinpath(*packages, "Release").write_text(released)
    return _sign(folder, folder.joinpath(*packages))


def index(folder: Path, label: str = "test") -> str:
    """Make it a flat repository, of suite `./`, signed with its key, which is new at first; it, armored."""
    packages = "\n".join(_entry(file) for file in sorted(folder.glob("*.deb")))
    (folder / "Packages").write_text(packages)
    digest = hashlib.sha256(packages.encode()).hexdigest()
    date = email.utils.formatdate(usegmt=True)
    listed = f" {digest} {len(packages.encode())} Packages\n"
    fields = f"Origin: test\nLabel: {label}\nCodename: test\nDate: {date}\nSHA256:\n{listed}"
    (folder / "Release").write_text(fields)
    return _sign(folder, folder)


def _sign(folder: Path, where: Path) -> str:
    """Sign the file Release with the repository's key, which is new at first; return the key, armored."""
    kept = folder / "gnupg"
    # The paths of the agent's sockets are limited to 108 characters.
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:
        gpg = ["gpg", "--batch", "--quiet", "--homedir", home, "--passphrase", ""]
        if kept.exists():
            shutil.copytree(kept, home, dirs_exist_ok=True)
        else:
            run.call([*gpg, "--quick-generate-key", "test@invalid", "ed25519", "sign", "never"])
        run.call(
            [*gpg, "--yes", "--clearsign", "--output", str(where / "InRelease"), str(where / "Release")]
        )
        key = run.call([*gpg, "--armor", "--export"]).stdout
        run.call(["gpgconf", "--homedir", home, "--kill", "gpg-agent"])
        shutil.copytree(home, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("S.*"))
    return key


def as_field(key: str) -> str:
    """An armored key as the value of Signed-By."""
    return "".join(f"\n {row or '.'}" for row in key.strip().splitlines())
