"""Update pins from the index page of a vendor and its signed list of checksums."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import tempfile
import threading
import tomllib
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bakery.image import bases
from bakery.image.bases import VendorImage
from bakery.runtime import data
from bakery.sources import pins
from bakery.sources.pins import Updates
from provisioner.errors import BadInput, Unreachable, WrongChecksum

OLD, NEW = "EL-9-GenericCloud-9.9-20260526.x86_64.qcow2", "EL-9-GenericCloud-9.10-20261101.x86_64.qcow2"
BASE = """
name = "el9"
title = "EL 9"
family = "el9"
architecture = "x86_64"
end_of_life = 2032-05-31
login = "el"
firmware = ["bios"]
tested = false
[image]
url = "{url}{old}"
sha256 = "{digest}"
[updates]
index = "{url}"
image = 'EL-9-GenericCloud-9\\.[0-9]+-[0-9.]+\\.{{arch}}\\.qcow2'
checksums = "{{image}}.CHECKSUM"
{more}
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


class Signer:
    """A key for the test; its public key is in the folder where `bases --update` expects it."""

    def __init__(self, home: str, keys: Path) -> None:
        self._gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", ""]
        made = [*self._gpg, "--status-fd", "1", "--quick-gen-key", "vendor", "ed25519", "sign", "never"]
        output = subprocess.run(made, check=True, capture_output=True, text=True).stdout
        self.fingerprint = output.split("KEY_CREATED ")[1].split()[1]
        exported = subprocess.run([*self._gpg, "--armor", "--export"], check=True, capture_output=True)
        keys.mkdir(exist_ok=True)
        (keys / f"{self.fingerprint}.asc").write_bytes(exported.stdout)

    def sign(self, path: Path) -> None:
        target = path.with_name(f"{path.name}.asc")
        target.unlink(missing_ok=True)
        subprocess.run([*self._gpg, "-o", str(target), "--armor", "--detach-sign", str(path)], check=True)


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Signer]:
    monkeypatch.setattr(pins.verify, "__defaults__", (tmp_path / "keys",))
    # The path of the agent's socket may have 107 bytes: tmp_path can be too long.
    with tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:
        yield Signer(home, tmp_path / "keys")
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder with images and a list of checksums for each, and its URL."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "images"
    folder.mkdir()
    for name in (OLD, NEW, NEW.replace("GenericCloud", "OpenNebula"), NEW.replace("x86_64", "aarch64")):
        (folder / name).write_bytes(name.encode())
        digest = hashlib.sha256(name.encode()).hexdigest()
        (folder / f"{name}.CHECKSUM").write_text(f"# {name}: 9 bytes\nSHA256 ({name}) = {digest}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def base_file(tmp_path: Path, url: str, more: str = "") -> Path:
    path, digest = tmp_path / "el9.toml", hashlib.sha256(OLD.encode()).hexdigest()
    path.write_text(BASE.format(url=url, old=OLD, digest=digest, more=more))
    return path


def updates(path: Path) -> dict[str, str]:
    found: dict[str, str] = tomllib.loads(path.read_text()).get("updates", {})
    return found


def signed_by(signer: Signer) -> str:
    return f'signature = "{{image}}.CHECKSUM.asc"\nkey = "{signer.fingerprint}"'


def test_newest_image_with_a_signed_list_is_pinned(
    tmp_path: Path, vendor: tuple[Path, str], signer: Signer
) -> None:
    folder, url = vendor
    signer.sign(folder / f"{NEW}.CHECKSUM")
    path = base_file(tmp_path, url, signed_by(signer))
    [reported] = pins.update(path)
    assert (NEW in reported, signer.fingerprint in reported) == (True, True)
    digest = hashlib.sha256(NEW.encode()).hexdigest()
    assert bases.read(path).source == VendorImage(f"{url}{NEW}", digest)
    assert list(pins.update(path)) == []


def test_modified_or_wrongly_signed_list_changes_no_pin(
    tmp_path: Path, vendor: tuple[Path, str], signer: Signer
) -> None:
    folder, url = vendor
    listed = folder / f"{NEW}.CHECKSUM"
    path = base_file(tmp_path, url, signed_by(signer))
    before = path.read_text()
    with pytest.raises(Unreachable, match="404"):
        list(pins.update(path))
    signer.sign(listed)
    listed.write_text(listed.read_text().replace("= ", "= ab"))
    with pytest.raises(WrongChecksum, match="not signed"):
        list(pins.update(path))
    signer.sign(listed)
    ubuntu = next(data.KEYS.glob("D2EB*.asc"))
    (tmp_path / "keys" / ubuntu.name).write_bytes(ubuntu.read_bytes())
    with pytest.raises(WrongChecksum, match="not signed"):
        pins.verify(listed.read_bytes(), (folder / f"{NEW}.CHECKSUM.asc").read_bytes(), ubuntu.stem, "it")
    assert path.read_text() == before


def test_unsigned_list_is_used_and_reported(tmp_path: Path, vendor: tuple[Path, str]) -> None:
    [reported] = pins.update(base_file(tmp_path, vendor[1]))
    assert "not signed" in reported


def test_index_without_a_matching_image(tmp_path: Path, vendor: tuple[Path, str]) -> None:
    for path in vendor[0].glob("*.qcow2"):
        path.unlink()
    with pytest.raises(BadInput, match="lists no file that matches"):
        list(pins.update(base_file(tmp_path, vendor[1])))


def test_keys_have_the_fingerprints_in_their_names(tmp_path: Path) -> None:
    named = {Updates(**table).key for path in data.BASES.glob("*.toml") if (table := updates(path))} - {""}
    assert len(named) == 7
    tmp_path.chmod(0o700)
    for path in (data.KEYS / f"{name}.asc" for name in named):
        shown = ["gpg", "--homedir", str(tmp_path), "--show-keys", "--with-colons", str(path)]
        done = subprocess.run(shown, capture_output=True, text=True, check=False).stdout
        prints = [row.split(":")[9] for row in done.splitlines() if row.startswith("fpr:")]
        assert path.stem in prints
