"""A catalogue in a folder: published, killed, published again, read by simplestreams and by bake-image."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bakery.catalogue import streams
from bakery.runtime import digest
from bakery.store.store import Store
from provisioner.process import run
from tests.conftest import BIN, Ended, command
from tests.integration.tool_environments import environment

NAME = "osg-debian13"


def publish(image: Path | str, folder: Path, *more: str) -> Ended:
    target = ("--to", folder.as_uri(), "--require-proof", "offline")
    return command("worker-bakery", "publish", str(image), *target, *more)


def outcome(done: Ended) -> dict[str, Any]:
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def entries(folder: Path) -> tuple[streams.Entry, ...]:
    document = json.loads((folder / streams.IMAGES).read_text())
    return streams.entries(document, streams.product(NAME, "amd64"))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def times(folder: Path) -> dict[str, int]:
    return {path: (folder / path).stat().st_mtime_ns for path in files(folder)}


@pytest.fixture(scope="module")
def catalogue(baked: dict[str, Any], folders: Any) -> Path:
    """With the default image."""
    folder: Path = folders("catalogue") / "images"
    assert outcome(publish(baked["path"], folder, "--json"))["uploaded"]
    return folder


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of the folder on a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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


def test_an_image_is_published_once(catalogue: Path, baked: dict[str, Any]) -> None:
    (entry,) = entries(catalogue)
    assert digest.of(catalogue / entry.path) == entry.sha256 == baked["sha256"]
    manifest = json.loads((catalogue / entry.manifest).read_text())
    assert (manifest["id"], manifest["sha256"]) == (baked["id"], baked["sha256"])
    before = times(catalogue)
    again = publish(baked["path"], catalogue)
    assert again.status == 0
    assert "its content was there already; nothing was uploaded" in again.err
    assert times(catalogue) == before


def test_an_image_without_the_proof_is_refused(catalogue: Path, baked: dict[str, Any]) -> None:
    refused = command("worker-bakery", "publish", baked["path"], "--to", catalogue.as_uri())
    assert refused.status == 4
    assert "publishing it requires clone" in refused.err


def test_dry_run_prints_the_actions_and_changes_nothing(tmp_path: Path) -> None:
    (disk,) = disks(tmp_path, 1)
    shown = publish(disk, tmp_path / "images", "--dry-run")
    assert shown.status == 0
    first, *_, last = shown.out.splitlines()
    assert first.startswith("upload the image, ")
    assert last == f"write {streams.INDEX}: list the products"
    assert not (tmp_path / "images").exists()


def test_simplestreams_reads_it(catalogue: Path, baked: dict[str, Any]) -> None:
    """With the program that mirrors Ubuntu's images, over http."""
    query = environment("simplestreams", ["python-simplestreams==0.1.0.post59", "requests"]) / "bin"
    filters = ["ftype=disk1.img", "arch=amd64", "os=debian", "version=13"]
    with served(catalogue) as url:
        index = f"{url}/{streams.INDEX}"
        done = run.call([str(query / "sstream-query"), "--no-verify", "--json", index, *filters])
    (found,) = json.loads(done.stdout)
    assert found["sha256"] == baked["sha256"]
    assert found["item_url"].endswith(entries(catalogue)[0].path)
    assert (found["pubname"], found["id"]) == (f"{NAME}-{baked['id'][:12]}", baked["id"])


def test_a_killed_publication_is_completed_and_leaves_nothing(baked: dict[str, Any], folders: Any) -> None:
    folder: Path = folders("killed")
    argv = [str(BIN / "worker-bakery"), "publish", baked["path"], "--to", folder.as_uri(), "--json"]
    killed = subprocess.Popen(
        [*argv, "--require-proof", "offline"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert killed.stderr and killed.stdout
    for line in killed.stderr:
        if json.loads(line) == {"event": "begin", "name": "copy the image"}:
            os.kill(killed.pid, signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    killed.stderr.close()
    assert not any(folder.rglob("*.json"))
    # As a file system without O_TMPFILE leaves it.
    part = next(iter(folder.glob("images/*/*")), folder / f"images/{NAME}/amd64") / ".x.qcow2.0123abcd"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"half")
    assert outcome(publish(baked["path"], folder, "--json"))["version"] == entries(folder)[-1].version
    (entry,) = entries(folder)
    assert digest.of(folder / entry.path) == baked["sha256"]
    assert files(folder) == {streams.INDEX, streams.IMAGES, entry.path, entry.manifest}


def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    (disk,) = disks(tmp_path, 1)
    folder = tmp_path / "images"
    publish(disk, folder)
    (there,) = entries(folder)
    (folder / there.path).write_bytes(b"half")
    assert outcome(publish(disk, folder, "--json"))["uploaded"]
    assert digest.of(folder / there.path) == there.sha256


def test_keep_removes_old_versions(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for disk in disks(tmp_path, 3):
        last = outcome(publish(disk, folder, "--keep", "2", "--json"))
    kept = entries(folder)
    assert len(kept) == 2
    assert len(last["retired"]) == 1
    assert files(folder) == {
        *(streams.INDEX, streams.IMAGES),
        *(path for entry in kept for path in (entry.path, entry.manifest)),
    }


def test_two_publishers_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    argv = [str(BIN / "worker-bakery"), "publish", "-q", "--to", folder.as_uri()]
    running = [
        subprocess.Popen([*argv, "--require-proof", "offline", str(disk)], stdout=subprocess.DEVNULL)
        for disk in disks(tmp_path, 3)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(entries(folder)) == 3
    assert all(digest.of(folder / entry.path) == entry.sha256 for entry in entries(folder))


def test_errors(tmp_path: Path, catalogue: Path) -> None:
    (disk,) = disks(tmp_path, 1)
    (tmp_path / "file").write_text("not a folder")
    blocked = publish(disk, tmp_path / "file" / "images")
    assert (blocked.status, "Not a directory" in blocked.err) == (2, True)
    (tmp_path / "streams" / "v1").mkdir(parents=True)
    (tmp_path / streams.IMAGES).write_text("<html>")
    strange = publish(disk, tmp_path)
    assert (strange.status, "is not a document of a catalogue" in strange.err) == (2, True)
    missing = publish("nothing", catalogue)
    assert (missing.status, "There is no image nothing" in missing.err) == (2, True)


def test_a_full_disk_is_reported_and_nothing_is_left(baked: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    run.call(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", str(folder)])
    try:
        full = publish(baked["path"], folder)
        assert (full.status, "No space left" in full.err) == (6, True), full.err
        assert not files(folder)
    finally:
        run.call(["umount", str(folder)])


# A bake more: test_publish_s3.py reads a catalogue as bake-image does, test_download.py downloads a base.
@pytest.mark.full
def test_a_published_image_is_a_base(
    catalogue: Path, baked: dict[str, Any], store: Store, folders: Any
) -> None:
    """Its image is downloaded, and what the worker needs is installed already."""
    cache: Path = folders("base") / "cache"
    cache.mkdir()
    (cache / "packages").symlink_to(store.root / "packages")
    with served(catalogue) as url:
        base, env = f"{url}#{NAME}", {"WORKER_BAKERY_CACHE": str(cache)}
        wrong = command("bake-image", "--base", f"{url}#osg-debain13", env=env)
        assert (wrong.status, f"Did you mean {NAME}?" in wrong.err) == (2, True), wrong.err
        made = command("bake-image", "--base", base, "--verify", "offline", "--json", env=env)
    assert made.status == 0, made.err[-3000:]
    result = json.loads(made.out)
    assert result["base"] == NAME
    assert (cache / "bases" / f"{baked['sha256']}.qcow2").exists()
    manifest = json.loads(Path(result["path"]).with_suffix(".json").read_text())
    assert (manifest["system"]["family"], manifest["os_release"]["ID"]) == ("debian", "debian")
