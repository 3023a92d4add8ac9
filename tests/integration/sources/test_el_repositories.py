"""dnf on an EL stand-in, with mirrors on loopback that have moved, are gone or are broken."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bakery.image import recipe, repositories
from bakery.image.repositories import Replaced
from bakery.machines.layer import layer
from provisioner.apply import apply
from provisioner.errors import BakeryError, Unreachable, WrongChecksum
from provisioner.events import Silent
from provisioner.process import run
from provisioner.targets.chroot import Chroot, TemporaryRepositories
from tests import golden_plans
from tests.conftest import Folders
from tests.integration import el_standin
from tests.integration.el_standin import Standin
from tests.integration.repository import Quiet, served

MAKECACHE = ("yum", "-y", "makecache")
INSTALL = ("yum", "-y", "install", "condor")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="module")
def vendor(standin: Standin, folders: Folders) -> Iterator[Path]:
    """The root of an unchanged EL7 stand-in."""
    folder = folders("el7")
    disk = folder / "vendor.raw"
    run.call(["cp", "--sparse=always", str(standin.disk), str(disk)])
    with el_standin.mounted(disk, folder / "root") as root:
        el_standin.become(root, "7", standin)
        yield root


@pytest.fixture
def root(vendor: Path, tmp_path: Path) -> Iterator[Path]:
    with layer(vendor, tmp_path) as fresh:
        yield fresh


@contextmanager
def target(root: Path, tmp_path: Path, urls: Mapping[str, str]) -> Iterator[Chroot]:
    made = Chroot(root, TemporaryRepositories("", "", tmp_path / "packages", urls))
    try:
        yield made
    finally:
        made.close()


def define(on: Chroot, standin: Standin) -> None:
    """Apply the steps of the plan for CentOS 7 that define repositories and trust keys."""
    own = {name: repositories.parse_options([], [f"{name}={standin.key(name)}"], keep=False).keys[name]
           for name in ("epel", "htcondor")}  # fmt: skip
    plan = recipe.plan(golden_plans.base("centos7"), "osg", replaced=Replaced(keys=own))
    titles = ("install the keys", "trust", "define the repositories")
    apply([step for step in plan.steps if step.title.startswith(titles)], on, Silent())


def lines(on: Chroot, *argv: str) -> list[str]:
    rows: list[str] = []
    on.run(argv, rows.append)
    return rows


def error_of(root: Path, tmp_path: Path, standin: Standin, url: str, *argv: str) -> BakeryError:
    """The error raised if only the repository htcondor is at this URL."""
    with served(standin.repositories) as server:
        urls = {**standin.urls("7", server), "htcondor": url}
        with target(root, tmp_path, urls) as on:
            define(on, standin)
            with pytest.raises(BakeryError) as caught:
                lines(on, *argv)
            assert "condor" not in " ".join(lines(on, "rpm", "-qa"))
    return caught.value


def test_an_unreachable_mirror_list_is_reported(root: Path, tmp_path: Path) -> None:
    with target(root, tmp_path, {}) as on, pytest.raises(Unreachable) as caught:
        lines(on, *MAKECACHE)
    assert "Cannot read the package repository base: " in caught.value.message
    assert "mirrorlist.invalid" in caught.value.message
    assert "--repository-url base=URL" in caught.value.hint


def test_mirrors_are_used_and_the_image_keeps_its_public_urls(
    root: Path, tmp_path: Path, standin: Standin
) -> None:
    with (
        served(standin.repositories) as server,
        target(root, tmp_path, standin.urls("7", server)) as on,
    ):
        define(on, standin)
        assert any("Metadata cache created" in row for row in lines(on, *MAKECACHE))
        assert "condor-1-1.x86_64" in lines(
            on, "yum", "-q", "repoquery", "condor", "--qf", "%{name}-%{evr}.%{arch}\n"
        )
    left = run.call(
        ["grep", "-rl", "127.0.0.1", str(root / "etc/yum.repos.d"), str(root / "etc/dnf")], expect=(1,)
    )
    assert left.stdout == ""
    assert (root / "etc/dnf/dnf.conf").read_text() == el_standin.DNF_CONF
    assert not list((root / "var/cache/dnf").glob("*"))


def test_redirected_metadata_is_found(root: Path, tmp_path: Path, standin: Standin) -> None:
    with (
        served(standin.repositories) as server,
        answering(Moved, f"{server}/htcondor") as old,
        target(root, tmp_path, {**standin.urls("7", server), "htcondor": old}) as on,
    ):
        define(on, standin)
        assert any("Metadata cache created" in row for row in lines(on, *MAKECACHE))


def test_missing_metadata_is_reported(root: Path, tmp_path: Path, standin: Standin) -> None:
    with served(standin.repositories) as server:
        error = error_of(root, tmp_path, standin, f"{server}/nowhere/", *MAKECACHE)
    assert type(error) is Unreachable
    assert "Cannot read the package repository htcondor: Status code: 404" in error.message
    assert "--repository-url htcondor=URL" in error.hint


def test_an_unreachable_server_is_reported(root: Path, tmp_path: Path, standin: Standin) -> None:
    error = error_of(root, tmp_path, standin, "http://127.0.0.1:9/", *MAKECACHE)
    assert type(error) is Unreachable
    assert "Cannot read the package repository htcondor: Curl error (7)" in error.message


def test_an_inconsistent_mirror_is_reported(root: Path, tmp_path: Path, standin: Standin) -> None:
    """The list of packages does not match the index."""
    half = tmp_path / "half"
    shutil.copytree(standin.repositories / "htcondor", half)
    for part in (half / "repodata").glob("*-primary.xml.*"):
        part.write_bytes(b"another list of packages")
    with served(half) as url:
        error = error_of(root, tmp_path, standin, url, *MAKECACHE)
    assert type(error) is Unreachable
    assert "Cannot read the package repository htcondor: " in error.message


@pytest.mark.parametrize("name", ["stranger", "unsigned"])
def test_a_package_without_a_trusted_signature_is_not_installed(
    name: str, root: Path, tmp_path: Path, standin: Standin
) -> None:
    with served(standin.repositories) as server:
        error = error_of(root, tmp_path, standin, f"{server}/{name}/", *INSTALL)
    assert type(error) is WrongChecksum
    assert "condor" in error.message
    assert "The package was not installed." in error.hint


def test_an_expired_certificate_is_reported(root: Path, tmp_path: Path, standin: Standin) -> None:
    """The machine trusts the authority: only the date is wrong."""
    authority = self_signed(tmp_path, days=-1)
    with (root / CERTIFICATES[1:]).open("a") as known:
        known.write(authority.read_text())
    with encrypted(standin.repositories / "htcondor", authority) as url:
        error = error_of(root, tmp_path, standin, url, *MAKECACHE)
    assert type(error) is Unreachable
    assert "Cannot read the package repository htcondor: Curl error (60)" in error.message
    assert "expired" in error.message
    assert "clock" in error.hint


def test_a_valid_certificate_is_accepted(root: Path, tmp_path: Path, standin: Standin) -> None:
    """Shows that the previous test fails because of the date."""
    authority = self_signed(tmp_path, days=1)
    with (root / CERTIFICATES[1:]).open("a") as known:
        known.write(authority.read_text())
    with (
        served(standin.repositories) as server,
        encrypted(standin.repositories / "htcondor", authority) as url,
        target(root, tmp_path, {**standin.urls("7", server), "htcondor": url}) as on,
    ):
        define(on, standin)
        lines(on, *MAKECACHE)


class Moved(BaseHTTPRequestHandler):
    """Redirects each path to the URL `to`."""

    def __init__(self, to: str, *args: object) -> None:
        self.to = to
        super().__init__(*args)  # type: ignore[arg-type]  # socketserver's own three

    def do_GET(self) -> None:
        self.send_response(301)
        self.send_header("Location", self.to + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def answering(handler: type[Moved], to: str) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, to))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def encrypted(folder: Path, certificate: Path) -> Iterator[str]:
    """Serve a folder by https; its URL. The certificate file includes the key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def self_signed(folder: Path, *, days: int) -> Path:
    """A file with a certificate of 127.0.0.1 that expires in this number of days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem) + private)
    return folder / "certificate.pem"
