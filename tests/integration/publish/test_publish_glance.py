"""A real Glance: published, killed, published again, found by name, shared, downloaded and booted."""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.runtime import digest, qemu_img
from provisioner.process import run
from tests.conftest import BIN, Ended, command
from tests.integration import openstack_here
from tests.integration.openstack_here import PASSWORD, SIZE_CAP, Cloud
from tests.integration.recording_proxy import recording

# Installing Keystone and Glance takes minutes where the packages are not cached.
pytestmark = pytest.mark.full
TITLE = "OSG Cloud Worker"


@pytest.fixture(scope="module")
def cloud(folders: Any) -> Iterator[Cloud]:
    with openstack_here.running(folders("openstack")) as found:
        yield found


def publish(cloud: Cloud, image: Path | str, *more: str, to: str = "site") -> Ended:
    argv = ("publish", str(image), "--to", f"openstack:{to}", "--require-proof", "offline", *more)
    done = command("worker-bakery", *argv, env=cloud.env)
    assert "canary" not in done.out + done.err
    return done


def outcome(done: Ended) -> dict[str, Any]:
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def disk(folder: Path, number: int, *more: str) -> Path:
    """A small disk with the manifest of an image; each number gives another content."""
    made = folder / f"{number}.qcow2"
    run.call(["qemu-img", "create", "-q", "-f", "qcow2", *more, str(made), f"{64 + number}M"])
    about = {"id": f"{number:064x}", "kind": "osg", "base": "debian13", "sha256": digest.of(made)}
    made.with_suffix(".json").write_text(json.dumps({**about, "proof": {"offline": {}}}))
    return made


def all_images(cloud: Cloud) -> dict[str, str]:
    return {**cloud.images(), **cloud.images("site", "--hidden")}


def started(cloud: Cloud, image: Path | str, *more: str) -> subprocess.Popen[str]:
    """A publication that has uploaded a MiB, and goes on."""
    argv = [str(BIN / "worker-bakery"), "publish", str(image), "--to", "openstack:site", "--json"]
    process = subprocess.Popen(
        [*argv, "--require-proof", "offline", *more],
        env={**os.environ, **cloud.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    seen = []
    for line in process.stderr:
        seen.append(json.loads(line))
        if seen[-1]["event"] == "progress" and seen[-1]["done"] > 1 << 20:
            return process
    raise AssertionError(seen)


def ended(process: subprocess.Popen[str]) -> int:
    """The exit status, when the rest of stderr was read."""
    assert process.stderr
    with process.stderr:
        process.stderr.read()
    return process.wait()


def test_an_upload_that_is_killed_is_finished_found_by_name_and_boots(
    cloud: Cloud, baked: dict[str, Any], tmp_path: Path
) -> None:
    """As OSG's document has it: search for "OSG Cloud Worker"."""
    killed = started(cloud, baked["path"], "--name", TITLE)
    os.kill(killed.pid, signal.SIGKILL)
    assert ended(killed) == -signal.SIGKILL
    assert cloud.images() == {}  # nobody finds half an image
    assert list(cloud.images("site", "--hidden").values()) == [f"{TITLE}-uploading"]

    done = outcome(publish(cloud, baked["path"], "--name", TITLE, "--json"))
    assert done["uploaded"]
    assert all_images(cloud) == {done["location"]: TITLE}
    assert [path.name for path in cloud.data.iterdir()] == [done["location"]]
    assert cloud.images("site", "--name", TITLE) == {done["location"]: TITLE}

    shown = cloud.show(TITLE)
    assert (shown["status"], shown["visibility"]) == ("active", "private")
    assert (
        (shown["min_disk"] - 1) << 30
        < qemu_img.virtual_size(Path(baked["path"]))
        <= shown["min_disk"] << 30
    )
    properties = shown["properties"]
    assert properties["os_hash_value"] == digest.of(Path(baked["path"]), properties["os_hash_algo"])
    assert properties["worker_bakery_id"] == baked["id"]
    assert properties["worker_bakery_proof"].split()[0] == "offline"
    wanted = {"os_distro": "debian", "os_version": "13", "architecture": "x86_64", "hw_disk_bus": "virtio"}
    assert wanted.items() <= properties.items()
    assert (properties["hw_firmware_type"], properties["worker_bakery_kind"]) == ("bios", "osg")

    downloaded = tmp_path / "downloaded.qcow2"
    cloud.openstack("site", "image", "save", "--file", str(downloaded), TITLE)
    assert digest.of(downloaded) == baked["sha256"]
    described = command("worker-bakery", "describe", str(downloaded), "--json")
    assert json.loads(described.out)["sha256"] == properties["worker_bakery_sha256"]
    booted = command(
        *("worker-bakery", "verify", str(downloaded), "--machine", "namespace", "--level", "boot", "--json")
    )
    assert booted.status == 0, booted.err[-3000:]
    assert "boot" in json.loads(booted.out)["proof"]


def test_an_upload_that_another_publication_has_not_ended_is_left_alone(
    cloud: Cloud, baked: dict[str, Any]
) -> None:
    """One that is suspended, and longer so than another one waits."""
    first = started(cloud, baked["path"], "--name", "busy")
    os.kill(first.pid, signal.SIGSTOP)
    second = publish(cloud, baked["path"], "--name", "busy")
    os.kill(first.pid, signal.SIGCONT)
    assert (second.status, "Another publication of busy uploads to" in second.err) == (1, True), second.err
    assert ended(first) == 0
    assert list(all_images(cloud).values()).count("busy") == 1
    assert "busy-uploading" not in all_images(cloud).values()


def test_data_that_are_damaged_on_the_way_are_not_published(cloud: Cloud, tmp_path: Path) -> None:
    def damaged(line: str, body: bytes) -> bytes:
        """The last byte is another one: Glance itself refuses what has not the header of a qcow2."""
        return body[:-1] + bytes([body[-1] ^ 1]) if re.match(r"PUT \S+/file ", line) else body

    with recording(cloud.image_url, damaged) as proxy:
        found = yaml.safe_load((cloud.folder / "clouds.yaml").read_text())
        found["clouds"]["site"]["image_endpoint_override"] = proxy.url
        (tmp_path / "clouds.yaml").write_text(yaml.safe_dump(found))
        done = command(
            *("worker-bakery", "publish", str(disk(tmp_path, 10)), "--to", "openstack:site"),
            *("--require-proof", "offline", "--name", "damaged"),
            env={"OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml")},
        )
    assert (done.status, "Glance has stored other data than were sent" in done.err) == (7, True), done.err
    assert not [name for name in all_images(cloud).values() if name.startswith("damaged")]


def test_the_same_content_is_not_uploaded_again(cloud: Cloud, tmp_path: Path) -> None:
    image = disk(tmp_path, 1)
    first = outcome(publish(cloud, image, "--name", "same", "--json"))
    again = publish(cloud, image, "--name", "same")
    assert (again.status, again.out.strip()) == (0, first["location"])
    assert "nothing was uploaded" in again.err
    # Only what is different changes.
    changed = outcome(publish(cloud, image, "--name", "same", "--visibility", "community", "--json"))
    assert (changed["uploaded"], len(changed["actions"])) == (False, 1)
    assert cloud.show(first["location"])["visibility"] == "community"


def without_data(cloud: Cloud, name: str, published_as: str) -> str:
    """The id of an image without data. The command-line client would read them from its stdin."""
    attributes = {"name": name, "worker_bakery_name": published_as, "disk_format": "qcow2"}
    script = f"""
import openstack
attributes = {attributes} | {{"container_format": "bare"}}
print(openstack.connect(cloud="site").image.post("/images", json=attributes).json()["id"])
"""
    return cloud.python(script).strip()


def test_what_an_interrupted_publication_can_leave_is_used_or_deleted(cloud: Cloud, tmp_path: Path) -> None:
    """Each of them made by Glance: without data, and with less data than the file has."""
    image = disk(tmp_path, 2)
    queued = without_data(cloud, "left-uploading", "left")
    property_of = ("--property", "worker_bakery_name=left", "--disk-format", "qcow2")
    create = ("image", "create", "-f", "json", *property_of, "left-uploading")
    half = tmp_path / "half"
    half.write_bytes(image.read_bytes()[:-512])
    short = cloud.openstack("site", *create, "--file", str(half))["id"]
    done = outcome(publish(cloud, image, "--name", "left", "--json"))
    assert done["location"] == queued
    assert short not in all_images(cloud)
    assert [name for name in all_images(cloud).values() if name.startswith("left")] == ["left"]


def test_previous_images_and_keep(cloud: Cloud, tmp_path: Path) -> None:
    ids = [
        outcome(publish(cloud, disk(tmp_path, number), "--name", "nightly", "--json"))["location"]
        for number in (3, 4, 5)
    ]
    assert [id for id in ids if id in cloud.images()] == ids[2:]
    argv = ("--name", "nightly", "--keep", "2", "--previous", "rename", "--json")
    before = all_images(cloud)
    shown = publish(cloud, disk(tmp_path, 6), *argv, "--dry-run")
    assert len(outcome(shown)["actions"]) == 6
    assert all_images(cloud) == before
    last = outcome(publish(cloud, tmp_path / "6.qcow2", *argv))
    assert sorted(last["retired"]) == sorted(ids[:2])
    found = {id: name for id, name in all_images(cloud).items() if name.startswith("nightly")}
    assert found == {last["location"]: "nightly", ids[2]: "nightly-previous"}


def test_an_image_is_shared_with_a_project(cloud: Cloud, tmp_path: Path) -> None:
    other = cloud.openstack("other", "token", "issue", "-f", "json")["project_id"]
    argv = ("--name", "shared", "--visibility", "shared", "--share", other, "--json")
    done = outcome(publish(cloud, disk(tmp_path, 7), *argv))
    members = cloud.openstack("site", "image", "member", "list", "-f", "json", done["location"])
    assert [member["Member ID"] for member in members] == [other]
    assert outcome(publish(cloud, tmp_path / "7.qcow2", *argv))["actions"] == []
    assert cloud.show(done["location"], "other")["name"] == "shared"
    cloud.openstack("other", "image", "set", "--accept", done["location"])
    assert cloud.images("other", "--shared") == {done["location"]: "shared"}


def test_errors(cloud: Cloud, tmp_path: Path) -> None:
    image = disk(tmp_path, 8)
    unknown = publish(cloud, image, to="sitee")
    assert (unknown.status, "Did you mean site?" in unknown.err) == (2, True), unknown.err
    wrong = publish(cloud, image, to="wrong-password")
    assert (wrong.status, "does not accept the credentials" in wrong.err) == (12, True), wrong.err
    closed = publish(cloud, image, to="unreachable")
    assert (closed.status, "does not answer" in closed.err) == (5, True), closed.err
    forbidden = publish(cloud, image, "--name", "forbidden", "--visibility", "public")
    assert (forbidden.status, "does not permit" in forbidden.err) == (12, True), forbidden.err
    argv = ("--to", "openstack:site", "--name", "unproven")
    unproven = command("worker-bakery", "publish", str(image), *argv, env=cloud.env)
    assert (unproven.status, "publishing it requires clone" in unproven.err) == (4, True), unproven.err
    large = disk(tmp_path, (SIZE_CAP >> 20) - 60, "-o", "preallocation=falloc")
    full = publish(cloud, large, "--name", "large")
    assert (full.status, "has no space for the image (413)" in full.err) == (6, True), full.err
    outcome(publish(cloud, image, "--name", "large", "--json"))  # with what the refused one has left
    assert list(all_images(cloud).values()).count("large") == 1
    assert not {"forbidden", "unproven"} & set(all_images(cloud).values())
    argument = publish(cloud, image, "--share", "0123")
    assert (argument.status, "--visibility shared" in argument.err) == (2, True)


def test_a_certificate_that_is_not_trusted(cloud: Cloud, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2")
    run.call(["openssl", *request, "-keyout", str(key), "-out", str(certificate)])
    with _tls(certificate, key) as url:
        found = yaml.safe_load((cloud.folder / "clouds.yaml").read_text())
        found["clouds"]["site"]["auth"]["auth_url"] = f"{url}/v3"
        (tmp_path / "clouds.yaml").write_text(yaml.safe_dump(found))
        done = command(
            *("worker-bakery", "publish", str(disk(tmp_path, 9)), "--to", "openstack:site"),
            *("--require-proof", "offline"),
            env={"OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml")},
        )
    assert (done.status, "certificate of the cloud site is not trusted" in done.err) == (5, True), done.err
    assert PASSWORD not in done.err


@contextmanager
def _tls(certificate: Path, key: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # handshakes that the client ends
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
