"""Signed images: checked by worker-bakery, by minisign with sha256sum, and by securesystemslib."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from bakery.description import files, minisign_keys, signature
from tests.conftest import BIN, command
from tests.integration.signing import Keys, described, generated
from tests.unit.description.sample import manifest
from tests.unit.description.test_vulnerabilities import record as vulnerability

PASSPHRASE = "correct horse battery staple"
NAMES = (
    *("worker.qcow2", "worker.manifest.json", "worker.cdx.json", "worker.spdx.json"),
    *("worker.provenance.json", "worker.verification.json", "worker.intoto.jsonl", "worker.SHA256SUMS"),
    "worker.SHA256SUMS.minisig",
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return generated(tmp_path_factory.mktemp("keys"), "plain")


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return generated(tmp_path_factory.mktemp("keys"), "encrypted", PASSPHRASE)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return described(tmp_path / "images")


@pytest.fixture(scope="module")
def signed_once(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = described(tmp_path_factory.mktemp("signed") / "images")
    done = command("worker-bakery", "sign", str(image), "--key", str(keys.secret))
    assert done.status == 0, done.err
    assert {Path(line).name for line in done.out.splitlines()} == {*NAMES} - {"worker.qcow2"}
    return image


@pytest.fixture
def signed(signed_once: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    shutil.copytree(signed_once.parent, tmp_path / "images")
    return tmp_path / "images" / signed_once.name


def by_minisign(image: Path, keys: Keys) -> bool:
    sums = image.with_name("worker.SHA256SUMS")
    argv = ["minisign", "-V", "-m", str(sums), "-p", str(keys.public)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def by_sha256sum(image: Path) -> bool:
    argv = ["sha256sum", "--strict", "-c", "worker.SHA256SUMS"]
    return subprocess.run(argv, cwd=image.parent, capture_output=True, check=False).returncode == 0


def test_a_signed_image_is_intact(signed: Path, keys: Keys) -> None:
    done = command("worker-bakery", "verify", "--signature", str(keys.public), str(signed))
    assert done.status == 0, done.err
    assert signature.problems(signed, keys.public) == ()
    assert by_minisign(signed, keys)
    assert by_sha256sum(signed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [0.1, 0.5, 0.97])
def test_one_changed_byte_is_found_and_named(signed: Path, keys: Keys, name: str, at: float) -> None:
    path = signed.with_name(name)
    data = bytearray(path.read_bytes())
    # The first line of a signature is a comment that minisign does not sign, by design.
    first = data.index(b"\n") if name.endswith(".minisig") else 0
    data[first + int((len(data) - first) * at)] ^= 1
    path.write_bytes(data)
    [problem, *more] = signature.problems(signed, keys.public)
    assert name in problem
    assert all(name in one or "intoto" in one for one in more)
    assert not (by_minisign(signed, keys) and by_sha256sum(signed))


def test_verify_names_the_changed_files(signed: Path, keys: Keys) -> None:
    for name in ("worker.cdx.json", "worker.qcow2"):
        with signed.with_name(name).open("ab") as data:
            data.write(b" ")
    done = command("worker-bakery", "verify", "--signature", str(keys.public), str(signed))
    assert done.status == 7
    assert "worker.cdx.json was changed: it differs from its signed digest." in done.err
    assert "worker.qcow2 was changed: it differs from its signed digest." in done.err


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_missing_file_is_named(signed: Path, keys: Keys, name: str) -> None:
    signed.with_name(name).unlink()
    [problem, *_] = signature.problems(signed, keys.public)
    assert f"{name} is missing" in problem


def test_a_file_that_was_added_is_named(image: Path, keys: Keys) -> None:
    """As if somebody had put another SBOM beside an image that was signed without one."""
    with_proof = image.with_name("worker.verification.json").read_bytes()
    made = {**manifest(), "proof": {}, "sha256": files.check(image, {})}
    files.write(image, made)
    signature.sign(image, minisign_keys.secret_key(keys.secret, str))
    assert signature.problems(image, keys.public) == ()
    image.with_name("worker.verification.json").write_bytes(with_proof)
    assert "worker.verification.json is not in the signed digests." in signature.problems(
        image, keys.public
    )


def test_another_key(signed: Path, tmp_path: Path) -> None:
    [problem] = signature.problems(signed, generated(tmp_path, "other").public)
    assert "worker.SHA256SUMS.minisig is by the key" in problem


def test_the_description_of_another_image(signed: Path, keys: Keys) -> None:
    """A renamed description does not vouch for an image of another name."""
    other = signed.with_name("other.qcow2")
    shutil.copyfile(signed, other)
    for path in signed.parent.glob("worker.*"):
        if path != signed:
            shutil.copyfile(path, path.with_name(path.name.replace("worker", "other", 1)))
    problems = signature.problems(other, keys.public)
    assert "other.qcow2 is not in the signed digests." in problems


def test_a_signature_of_the_program_minisign_is_accepted(signed: Path, keys: Keys) -> None:
    sums = signed.with_name("worker.SHA256SUMS")
    minisig = signed.with_name("worker.SHA256SUMS.minisig")
    minisig.unlink()
    subprocess.run(
        ["minisign", "-S", "-s", str(keys.secret), "-m", str(sums)], check=True, capture_output=True
    )
    assert signature.problems(signed, keys.public) == ()


def test_securesystemslib_accepts_the_envelopes(signed: Path, keys: Keys) -> None:
    key_id, raw = minisign_keys.raw(minisign_keys.public_key(keys.public))
    shown = minisign_keys.shown_id(key_id)
    key = SSlibKey(shown, "ed25519", "ed25519", {"public": raw.hex()})
    lines = signed.with_name("worker.intoto.jsonl").read_text().splitlines()
    names = ("worker.provenance.json", "worker.verification.json")
    for line, name in zip(lines, names, strict=True):
        envelope = Envelope.from_dict(json.loads(line))
        envelope.verify([key], 1)
        assert envelope.payload == signed.with_name(name).read_bytes()
        envelope.payload += b" "
        with pytest.raises(Exception, match="Accepted signatures do not match threshold"):
            envelope.verify([key], 1)
    assert shown in keys.public.read_text()


# --- keys with a passphrase --------------------------------------------------------------------


def test_an_encrypted_key(image: Path, encrypted: Keys, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    argv = ("sign", str(image), "--key", str(encrypted.secret), "--passphrase-file", str(file))
    done = command("worker-bakery", *argv)
    assert done.status == 2
    assert f"{file} is readable by all users." in done.err
    file.chmod(0o600)
    done = command("worker-bakery", *argv)
    assert done.status == 0, done.err
    assert by_minisign(image, encrypted)
    for path in image.parent.iterdir():
        assert PASSPHRASE.encode() not in path.read_bytes()
    file.write_text("wrong")
    done = command("worker-bakery", *argv)
    assert done.status == 2
    assert "The passphrase does not decrypt the key" in done.err


def test_a_passphrase_is_asked_for_on_a_terminal_only(image: Path, encrypted: Keys) -> None:
    argv = ("sign", str(image), "--key", str(encrypted.secret))
    done = command("worker-bakery", *argv)
    assert done.status == 2
    assert "--passphrase-file" in done.err
    with terminal() as (end, given):
        child = subprocess.Popen(
            [str(BIN / "worker-bakery"), *argv],
            stdin=given,
            stdout=given,
            stderr=given,
            start_new_session=True,
        )
        os.close(given)
        shown = b""
        while b"not shown" not in shown:
            shown += os.read(end, 1000)
        os.write(end, f"{PASSPHRASE}\n".encode())
        assert child.wait(timeout=120) == 0
    assert by_minisign(image, encrypted)


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    end, given = pty.openpty()
    try:
        yield end, given
    finally:
        os.close(end)


def test_files_that_are_no_keys(image: Path, keys: Keys, tmp_path: Path) -> None:
    done = command("worker-bakery", "sign", str(image), "--key", str(keys.public))
    assert (done.status, "is readable by all users" in done.err) == (2, True)
    wrong = tmp_path / "wrong.key"
    wrong.write_text("untrusted comment: x\nAAAA\n")
    wrong.chmod(0o600)
    done = command("worker-bakery", "sign", str(image), "--key", str(wrong))
    assert (done.status, "is not a secret key of minisign" in done.err) == (2, True)
    done = command("worker-bakery", "verify", "--signature", str(wrong), str(image))
    assert (done.status, "is not a public key of minisign" in done.err) == (2, True)
    done = command("worker-bakery", "verify", "--signature", str(keys.public), str(image))
    assert (done.status, "worker.SHA256SUMS.minisig is missing" in done.err) == (7, True)


def test_an_image_without_a_manifest_is_not_signed(image: Path, keys: Keys) -> None:
    image.with_name("worker.manifest.json").unlink()
    done = command("worker-bakery", "sign", str(image), "--key", str(keys.secret))
    assert (done.status, "has no manifest" in done.err) == (2, True)


def test_a_manifest_of_the_cache_that_changed_is_named(signed: Path, keys: Keys) -> None:
    """As after `verify`, which adds a level to the proof."""
    cached = signed.with_suffix(".json")
    shutil.copyfile(signed.with_name("worker.manifest.json"), cached)
    assert signature.problems(signed, keys.public) == ()
    cached.write_text(json.dumps({**json.loads(cached.read_text()), "proof": {}}))
    [problem] = signature.problems(signed, keys.public)
    assert problem.startswith("worker.json differs from worker.manifest.json")


def test_bake_signs_what_it_writes(baked: dict[str, Any], keys: Keys, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    output = ("--verify", "offline", "--checkpoints", "all", "-o", str(images / "worker.qcow2"))
    done = command("bake-image", *output, "--sign", str(keys.secret))
    assert done.status == 0, done.err
    assert signature.problems(images / "worker.qcow2", keys.public) == ()
    assert by_minisign(images / "worker.qcow2", keys)
    assert by_sha256sum(images / "worker.qcow2")
    about = json.loads(command("worker-bakery", "describe", "--json", str(images / "worker.qcow2")).out)
    assert about["signature"]["key"] in keys.public.read_text()


@pytest.mark.parametrize("other", ["--submit", "--packer-files=files"])
def test_options_with_which_nothing_is_signed(keys: Keys, other: str) -> None:
    done = command("bake-image", "--sign", str(keys.secret), other)
    assert (done.status, "cannot be used together" in done.err) == (2, True)
    done = command("bake-image", "--passphrase-file", str(keys.secret))
    assert (done.status, "--passphrase-file requires --sign" in done.err) == (2, True)


def test_a_description_that_is_written_again_is_unsigned(signed: Path) -> None:
    done = command("worker-bakery", "describe", str(signed), "--write", str(signed.parent))
    assert done.status == 0, done.err
    assert not signed.with_name("worker.SHA256SUMS.minisig").exists()


# --- vulnerabilities ---------------------------------------------------------------------------


def test_describe_reports_vulnerabilities_by_its_exit_code(image: Path, tmp_path: Path) -> None:
    dump = tmp_path / "debian.osv.json"
    hostile = vulnerability(summary="\x1b[2J", id="DEBIAN-CVE-2026-2\x1b[31m")
    dump.write_text(json.dumps([vulnerability(aliases=["CVE-2026-1"]), hostile]))
    done = command("worker-bakery", "describe", str(image), "--vulnerabilities", str(dump))
    assert done.status == 11, done.err
    assert "worker.qcow2 has 2 known vulnerabilities; 2 are fixed by updates." in done.err
    assert "\x1b" not in done.out + done.err
    [row] = [line.split() for line in done.out.splitlines() if line.startswith("DEBIAN-CVE-2026-1")]
    assert row == ["DEBIAN-CVE-2026-1", "gcc-14", "14.2.0-19", "14.2.0-20", "-"]
    found = command("worker-bakery", "describe", "--json", str(image), "--vulnerabilities", str(dump))
    assert found.status == 11
    assert json.loads(found.out)["vulnerabilities"][0]["packages"] == ["libstdc++6"]
    ignored = ("--ignore", "CVE-2026-1", "--ignore", hostile["id"])
    done = command("worker-bakery", "describe", str(image), "--vulnerabilities", str(dump), *ignored)
    assert done.status == 0
    assert "vulnerabilities: none" in done.out
