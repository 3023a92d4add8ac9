"""The builder image in a real Docker: built from the Containerfile, it bakes and proves the default image.

Debian 13 from a mirror stands for the image debian:13. The tests share one daemon and one cache.
"""

from __future__ import annotations

import http.server
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from bakery.runtime.conditions import Condition, wait
from bakery.store.store import Store
from provisioner.process import run
from tests.conftest import BASE, Folders, mounted
from tests.integration import docker_here
from tests.integration.docker_here import Docker

pytestmark = pytest.mark.full  # minutes, and 3 GB of downloads and storage

ROOT = Path(__file__).parent.parent.parent.parent
IMAGE = "worker-bakery"
USER = 12345  # who owns the folder of the images


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def docker(root_only: None, folders: Folders) -> Iterator[Docker]:
    with docker_here.daemon(folders("docker")) as docker:
        loaded = docker.call("import", str(docker_here.debian_root()), "debian:13")
        assert loaded.returncode == 0, loaded.stderr
        yield docker


@pytest.fixture(scope="module")
def built(docker: Docker) -> Docker:
    """The image, built with the wheels that this machine has downloaded."""
    handler = partial(Quiet, directory=str(docker_here.wheels()))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        arguments = ("PIP_NO_INDEX=1", f"PIP_FIND_LINKS=http://127.0.0.1:{server.server_port}/")
        options = [word for argument in arguments for word in ("--build-arg", argument)]
        where = ("-f", str(ROOT / "Containerfile"), str(ROOT))
        done = docker.call("build", "--network", "host", "-t", IMAGE, *options, *where)
        server.shutdown()
    assert done.returncode == 0, f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return docker


@dataclass(frozen=True)
class Volumes:
    """The volumes of the documented line."""

    images: Path
    cache: Path

    @property
    def options(self) -> tuple[str, ...]:
        return ("-v", f"{self.images}:/images", "-v", f"{self.cache}:/var/cache/worker-bakery")


@pytest.fixture(scope="module")
def volumes(folders: Folders, store: Store) -> Volumes:
    """A user's folder, and a cache that has the base only, if this machine has one."""
    made = Volumes(folders("images"), folders("cache"))
    os.chown(made.images, USER, USER)
    base = store.base(BASE.id)
    (made.cache / "bases").mkdir()
    if base.exists():
        for path in (base, base.with_suffix(".json")):
            run.call(["cp", "--preserve", str(path), str(made.cache / "bases")])
    return made


def bakery(docker: Docker, *words: str, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    done = docker.call("run", "--rm", "--net=host", *options, IMAGE, *words)
    return done.returncode, done.stdout, done.stderr


def test_it_answers_without_privileges(built: Docker) -> None:
    status, out, _ = bakery(built, "bases", "--json")
    assert status == 0
    assert BASE.name in {base["name"] for base in json.loads(out)}
    status, out, _ = bakery(built, "bake", "--dry-run")
    assert status == 0
    assert out.startswith("osg worker on debian13")


def test_its_tools_are_recent_enough(built: Docker) -> None:
    script = "mkosi --version; qemu-system-x86_64 --version; packer --version; python3 --version"
    done = built.call("run", "--rm", "--entrypoint=sh", IMAGE, "-ec", script)
    assert done.returncode == 0, done.stderr
    numbers = [int(number) for number in re.findall(r"^\D*(\d+)\.", done.stdout, re.MULTILINE)]
    assert numbers[0] >= 24  # mkosi
    assert numbers[1] >= 8  # QEMU
    assert "1.6.6" in done.stdout


@pytest.mark.parametrize(
    ("words", "options", "told"),
    [
        (("bake",), (), "root has no CAP_SYS_ADMIN here"),
        (("bake", "--engine", "chroot", "--verify", "none"), (), "root has no CAP_SYS_ADMIN here"),
        (("bake",), ("--cap-add", "SYS_ADMIN"), "/dev/loop-control cannot be opened"),
    ],
)
def test_without_privileged_it_says_which_engine_remains(
    built: Docker, words: tuple[str, ...], options: tuple[str, ...], told: str
) -> None:
    status, _, err = bakery(built, *words, options=options)
    assert status == 3
    assert told in err
    assert "--privileged; without it, only the engine packer is usable" in err
    assert "--engine packer --verify none" in err


def test_without_privileged_no_base_is_built(built: Docker) -> None:
    status, _, err = bakery(built, "bake", "--engine", "packer", "--verify", "none")
    assert status == 3
    assert "A base cannot be built from packages here: this system refuses new namespaces" in err


def test_without_a_volume_it_warns(built: Docker) -> None:
    _, _, err = bakery(built, "bake", "--base", "missing")
    assert "/images is not a volume" in err


def test_the_documented_line_bakes_and_proves_the_default_image(
    built: Docker, volumes: Volumes, tmp_path: Path
) -> None:
    options = ("--privileged", *volumes.options)
    status, out, err = bakery(built, "bake", "--verify", "pool", options=options)
    assert status == 0, err[-3000:]
    image = volumes.images / Path(out.strip()).name
    assert Path(out.strip()).parent == Path("/images")
    written = {image.name, f"{image.stem}.manifest.json", f"{image.stem}.SHA256SUMS"}
    assert {path.name for path in volumes.images.iterdir()} == written
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in volumes.images.iterdir()}
    assert owners == {(USER, USER)}
    for level in ("offline", "boot", "pool"):
        assert f"\n{level} " in err
    assert "a job of TG-PROOF01 ran on it" in err
    with mounted(image, tmp_path) as root:
        assert (root / "usr/lib/worker-bakery").is_dir()


def test_a_second_run_finds_the_image_in_the_cache(built: Docker, volumes: Volumes) -> None:
    options = ("--privileged", *volumes.options)
    status, out, err = bakery(built, "bake", "--verify", "pool", options=options)
    assert status == 0
    assert "The image is already in the cache" in err
    assert "Cannot ask" not in err
    assert out.startswith("/images/osg-debian13-")


def test_a_definition_in_the_mounted_folder_is_baked(
    built: Docker, volumes: Volumes, tmp_path: Path
) -> None:
    """With files beside it, additions of most kinds, and a test of its own."""
    write_site(volumes.images / "site")
    options = ("--privileged", *volumes.options)
    status, out, err = bakery(
        built, "bake", "site/worker.toml", "--verify", "offline", "--json", options=options
    )
    assert status == 0, err[-3000:]
    result = json.loads(out)
    assert (result["path"], result["from_store"]) == ("site/out/site-worker.qcow2", False)
    assert "test_site.py" in result["proof"]["offline"]["tests"]
    image = volumes.images / result["path"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in image.parent.iterdir()} == {(USER, USER)}
    with mounted(image, tmp_path) as root:
        assert (root / "usr/bin/tmux").exists()
        assert (root / "etc/motd").read_text() == "A worker of Docker's site.\n"
        assert "net.core.somaxconn = 4096" in (root / "etc/sysctl.d/60-site.conf").read_text()
        assert (root / "etc/ssl/certs/example-site.pem").is_symlink()
        assert (root / "etc/made").read_text() == "monitor\n"


SITE = """\
name = "site-worker"
output = "out/"
root-size = "6G"
packages = ["tmux"]
kernel-arguments = ["mitigations=auto"]
ca-certificates = ["example-site.pem"]
tests = ["test_site.py"]

[worker-defaults]
CentralManager = "cm.site.example.edu"

[roles.udocker]

[services]
mask = ["apt-daily.timer"]

[sysctl]
"net.core.somaxconn" = 4096

[variables]
site = "Docker's site"

[[files]]
path = "/etc/motd"
source = "motd"
template = true

[[users]]
name = "monitor"
system = true

[[commands]]
title = "note the user"
text = "#!/bin/sh\\nid -un monitor >/etc/made\\n"
"""
TEST = """\
import pytest


@pytest.mark.offline
def test_the_greeting(host):
    assert host.file("/etc/motd").contains("Docker's site")
"""


def write_site(folder: Path) -> None:
    """A site's definition and its files, which belong to the user of the folder."""
    (folder / "out").mkdir(parents=True)
    authority = (ROOT / "examples/site/ca/example-site.pem").read_text()
    files = {
        "worker.toml": SITE,
        "test_site.py": TEST,
        "motd": "A worker of $site.\n",
        "example-site.pem": authority,
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)


def test_docker_stop_ends_a_bake_and_leaves_nothing(built: Docker, volumes: Volumes) -> None:
    """Into a cache of its own, so that there is something to bake."""
    before = set(volumes.images.iterdir())
    options = ("--privileged", *volumes.options, "--name", "stopped", "-d")
    words = ("bake", "--worker", "prominence", "--verify", "none", "--engine", "chroot")
    started = built.call("run", "--net=host", *options, IMAGE, *words)
    assert started.returncode == 0, started.stderr
    disk = wait(Condition("a mounted disk", lambda: _mounted_disk(volumes.cache / "work"), 300))
    built.call("stop", "--time", "60", "stopped")
    state = built.call("inspect", "--format", "{{.State.ExitCode}}", "stopped").stdout.strip()
    log = built.call("logs", "stopped").stderr
    built.call("rm", "stopped")
    assert state == "143", log
    assert set(volumes.images.iterdir()) == before
    wait(Condition("that the disk is unmounted", lambda: disk not in _disks_of_loops(), 60))
    assert not list((volumes.cache / "work").iterdir())


def _mounted_disk(work: Path) -> int | None:
    """The inode of a bake's disk, once it is behind a loop device."""
    inodes = {path.stat().st_ino for path in work.glob("*/disk.raw")}
    return next(iter(inodes & _disks_of_loops()), None)


def _disks_of_loops() -> set[int]:
    """The inodes of the files behind loop devices; their paths are those of other mount namespaces."""
    found = json.loads(run.call(["losetup", "--json", "--list", "--output", "BACK-INO"]).stdout or "{}")
    return {int(device["back-ino"]) for device in found.get("loopdevices", [])}
