"""Debian's docker-registry: a container image published, pulled back and run; a disk as a containerDisk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from bakery.output.oci import layout
from bakery.runtime import digest
from bakery.runtime.conditions import Condition, wait
from provisioner.process import run
from tests.conftest import BIN, Ended, command

SECRET = "canary-of-the-registry-55e0"
NAME = "osg-debian13"


def publish(registry: str, image: Path | str, *more: str, name: str = "site/worker", **env: str) -> Ended:
    argv = ("publish", str(image), "--to", f"oci://{registry}/{name}", "--require-proof", "offline", *more)
    done = command("worker-bakery", *argv, env=env)
    assert SECRET not in done.out + done.err
    return done


def outcome(done: Ended) -> dict[str, Any]:
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


@pytest.fixture(scope="module")
def registry(folders: Any) -> Iterator[str]:
    with serving(folders("registry")) as found:
        yield found


@contextmanager
def serving(folder: Path, authentication: str = "") -> Iterator[str]:
    """HOST:PORT of a registry that keeps its data in the folder."""
    missing = [name for name in ("docker-registry", "skopeo") if shutil.which(name) is None]
    if missing:
        run.call(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing])
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    (folder / "config.yml").write_text(
        f"""
version: 0.1
storage:
  filesystem: {{rootdirectory: {folder}/data}}
  delete: {{enabled: true}}
http: {{addr: "{address}"}}
{authentication}
"""
    )
    argv = ["docker-registry", "serve", str(folder / "config.yml")]
    with run.background(argv, log=folder / "log", cwd=folder):
        wait(Condition("the registry answers", lambda: _answers(address), 120))
        yield address


def _answers(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://{address}/", timeout=30) as answer:
        return bool(answer.status == 200)
    return False


def pulled(registry: str, name: str, folder: Path) -> Path:
    """The image as an OCI layout."""
    source = f"docker://{registry}/{name}"
    run.call(["skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{folder}:pulled"])
    return folder


def images(registry: str, name: str) -> set[str]:
    """The tags without those of indexes of SBOMs, which not every skopeo can write."""
    return {tag for tag in tags(registry, name) if not tag.startswith("sha256-")}


def tags(registry: str, name: str) -> set[str]:
    found = run.call(["skopeo", "list-tags", "--tls-verify=false", f"docker://{registry}/{name}"])
    return set(json.loads(found.stdout)["Tags"] or ())


def blob(folder: Path, described: dict[str, Any]) -> Path:
    return folder / "blobs" / str(described["digest"]).replace(":", "/")


def of_layout(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the configuration of the image in a layout."""
    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads(blob(folder, index["manifests"][0]).read_text())
    return manifest, json.loads(blob(folder, manifest["config"]).read_text())


def disk(folder: Path, number: int) -> Path:
    made = folder / f"{number}.qcow2"
    run.call(["qemu-img", "create", "-q", "-f", "qcow2", str(made), f"{64 + number}M"])
    about = {
        "id": f"{number:012x}{'0' * 52}",
        "kind": "osg",
        "base": "debian13",
        "made": f"2026-11-29T08:{number:02}:00+00:00",
        "sha256": digest.of(made),
    }
    made.with_suffix(".json").write_text(json.dumps({**about, "proof": {"offline": {}}}))
    return made


def test_a_killed_upload_of_a_disk_is_completed_and_kubevirt_can_use_it(
    registry: str, baked: dict[str, Any], tmp_path: Path
) -> None:
    target = f"oci://{registry}/site/disk"
    argv = [str(BIN / "worker-bakery"), "publish", baked["path"], "--to", target, "--json"]
    killed = subprocess.Popen(
        [*argv, "--require-proof", "offline"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert killed.stderr
    for line in killed.stderr:
        event = json.loads(line)
        if event["event"] == "begin" and event["name"].startswith("upload the image"):
            os.kill(killed.pid, signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL
    killed.stderr.close()

    done = outcome(publish(registry, baked["path"], "--json", name="site/disk"))
    assert done["uploaded"] or done["actions"] == []
    assert images(registry, "site/disk") == {baked["id"][:12], "latest"}
    folder = pulled(registry, "site/disk:latest", tmp_path / "pulled")
    manifest, config = of_layout(folder)
    assert done["location"].endswith(
        json.loads((folder / "index.json").read_text())["manifests"][0]["digest"]
    )
    assert (config["architecture"], config["os"]) == ("amd64", "linux")
    assert config["config"]["Labels"]["worker-bakery.plan"] == baked["id"]
    (layer,) = manifest["layers"]
    with tarfile.open(blob(folder, layer)) as archive:
        assert [(one.name, one.uid, one.gid) for one in archive] == [
            ("disk", 107, 107),
            (f"disk/{NAME}.qcow2", 107, 107),
        ]
        archive.extract(f"disk/{NAME}.qcow2", tmp_path, filter="data")
    assert digest.of(tmp_path / "disk" / f"{NAME}.qcow2") == baked["sha256"]
    again = publish(registry, baked["path"], name="site/disk")
    assert (again.status, "nothing was uploaded" in again.err) == (0, True)


# A bake more: a disk is pulled back above, and test_container.py has a container's life.
@pytest.mark.full
def test_a_container_image_is_pulled_back_and_runs(registry: str, tmp_path: Path) -> None:
    argv = ("--worker", "osg", "--format", "oci", "--verify", "offline", "--json")
    made = command("bake-image", *argv)
    assert made.status == 0, made.err[-3000:]
    image = json.loads(made.out)
    done = outcome(publish(registry, image["path"], "--json"))
    assert images(registry, "site/worker") == {image["id"][:12], "latest"}
    folder = pulled(registry, "site/worker:latest", tmp_path / "pulled")
    layout.unpack(Path(image["path"]), tmp_path / "original")
    assert of_layout(folder) == of_layout(tmp_path / "original")
    assert done["uploaded"]
    buildah = ("buildah", "--root", str(tmp_path / "storage"), "--storage-driver", "vfs")
    container = run.call([*buildah, "from", f"oci:{folder}:pulled"]).stdout.strip()
    try:
        inside = ["run", "--isolation", "chroot", container, "--", "condor_version"]
        assert "CondorVersion" in run.call([*buildah, *inside]).stdout
    finally:
        run.call([*buildah, "rm", container])
        run.call([*buildah, "rmi", "--all", "--force"])


def test_keep_deletes_old_images_and_a_tag_of_ones_own_stays(registry: str, tmp_path: Path) -> None:
    name = "site/keep"
    outcome(publish(registry, disk(tmp_path, 1), "--json", name=f"{name}:mine"))
    for number in (2, 3, 4):
        last = outcome(publish(registry, disk(tmp_path, number), "--keep", "2", "--json", name=name))
    assert last["retired"] == [f"{2:012x}"]
    assert tags(registry, name) == {"mine", f"{3:012x}", f"{4:012x}", "latest"}


def test_errors(registry: str, tmp_path: Path) -> None:
    image = disk(tmp_path, 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        silent = publish(f"127.0.0.1:{closed.getsockname()[1]}", image)
    assert (silent.status, "does not answer" in silent.err) == (5, True), silent.err
    # A name that is not of this machine requires TLS.
    plain = publish(f"{socket.gethostname()}:{registry.rpartition(':')[2]}", image)
    assert plain.status == 5, plain.err


def test_a_registry_with_passwords(tmp_path: Path, folders: Any) -> None:
    folder: Path = folders("private")
    hashed = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()  # as htpasswd -B
    (folder / "htpasswd").write_text(f"me:{hashed}\n")
    image, auth = disk(tmp_path, 1), tmp_path / "auth.json"
    authentication = f"auth:\n  htpasswd: {{realm: site, path: {folder}/htpasswd}}"
    with serving(folder, authentication) as registry:
        refused = publish(registry, image, REGISTRY_AUTH_FILE=str(auth))
        assert (refused.status, f"skopeo login {registry}" in refused.err) == (12, True), refused.err
        login = ["skopeo", "login", "--tls-verify=false", "-u", "me", "--password-stdin", registry]
        run.call(login, stdin=SECRET.encode(), env=run.environment(REGISTRY_AUTH_FILE=str(auth)))
        outcome(publish(registry, image, "--json", REGISTRY_AUTH_FILE=str(auth)))
