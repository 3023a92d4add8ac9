"""`publish --require-signature`: only what the key has signed is published, to whichever target."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bakery.catalogue import streams
from tests.conftest import Ended, command
from tests.integration.signing import Keys, described, generated

UNREACHABLE = "127.0.0.1:9"
TARGETS = ("openstack:site", "s3://images/workers", f"oci://{UNREACHABLE}/site/worker")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return generated(tmp_path_factory.mktemp("keys"), "site")


@pytest.fixture(scope="module")
def signed_once(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = described(tmp_path_factory.mktemp("signed") / "images")
    done = command("worker-bakery", "sign", str(image), "--key", str(keys.secret))
    assert done.status == 0, done.err
    return image


@pytest.fixture
def signed(signed_once: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    shutil.copytree(signed_once.parent, tmp_path / "images")
    return tmp_path / "images" / signed_once.name


def publish(image: Path, keys: Keys, target: str) -> Ended:
    argv = ("--to", target, "--require-signature", str(keys.public), "--require-proof", "none")
    return command("worker-bakery", "publish", str(image), *argv)


def catalogue(folder: Path) -> Path:
    return folder / "catalogue"


def refused(image: Path, keys: Keys, folder: Path, *says: str) -> None:
    done = publish(image, keys, catalogue(folder).as_uri())
    assert done.status == 12, done.err
    for text in ("is not signed as --require-signature demands", *says):
        assert text in done.err
    assert not catalogue(folder).exists()


def test_a_signed_image_is_published_with_its_signed_manifest(
    signed: Path, keys: Keys, tmp_path: Path
) -> None:
    done = publish(signed, keys, catalogue(tmp_path).as_uri())
    assert done.status == 0, done.err
    document = json.loads((catalogue(tmp_path) / streams.IMAGES).read_text())
    [name] = streams.names(document)
    [entry] = streams.entries(document, streams.product(name, "amd64"))
    published = json.loads((catalogue(tmp_path) / entry.manifest).read_text())
    assert published == json.loads(signed.with_name("worker.manifest.json").read_text())


def test_an_unsigned_image_is_refused(keys: Keys, tmp_path: Path) -> None:
    image = described(tmp_path / "images")
    refused(image, keys, tmp_path, "worker.SHA256SUMS.minisig is missing: the image is not signed.")


def test_a_signature_by_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    refused(signed, generated(tmp_path, "other"), tmp_path, "worker.SHA256SUMS.minisig is by the key")


@pytest.mark.parametrize(
    "name",
    [
        *("worker.qcow2", "worker.manifest.json", "worker.cdx.json"),
        *("worker.SHA256SUMS", "worker.SHA256SUMS.minisig"),
    ],
)
def test_one_flipped_byte_is_refused(signed: Path, keys: Keys, name: str, tmp_path: Path) -> None:
    path = signed.with_name(name)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    refused(signed, keys, tmp_path, name)


def test_a_proof_that_nobody_has_signed_is_refused(signed: Path, keys: Keys, tmp_path: Path) -> None:
    """A manifest as in the cache, beside the signed one: only with it, the level boot is proven."""
    about = json.loads(signed.with_name("worker.manifest.json").read_text())
    forged = {name: about[name] for name in ("id", "kind", "base", "sha256")}
    forged["proof"] = {level: {} for level in ("offline", "boot", "pool", "clone")}
    signed.with_suffix(".json").write_text(json.dumps(forged))
    argv = ("--to", catalogue(tmp_path).as_uri(), "--require-proof", "boot")
    signature = ("--require-signature", str(keys.public))
    done = command("worker-bakery", "publish", str(signed), *argv, *signature)
    assert (done.status, "publishing it requires boot" in done.err) == (4, True), done.err
    assert command("worker-bakery", "publish", str(signed), *argv, "--dry-run").status == 0
    assert not catalogue(tmp_path).exists()


@pytest.mark.parametrize("target", TARGETS)
def test_no_target_is_asked_for_an_unsigned_image(target: str, keys: Keys, tmp_path: Path) -> None:
    done = publish(described(tmp_path / "images"), keys, target)
    assert (done.status, "the image is not signed." in done.err) == (12, True), done.err


def test_a_file_that_is_no_key(signed: Path, keys: Keys, tmp_path: Path) -> None:
    done = publish(signed, Keys(keys.secret, keys.secret), catalogue(tmp_path).as_uri())
    assert (done.status, "is not a public key of minisign" in done.err) == (2, True), done.err
