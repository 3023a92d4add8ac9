"""The proof that counts: virtual machines, a real pool, and a token that must be seen nowhere."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime import qemu_img
from bakery.store.store import Store, read_manifest, write_manifest
from bakery.verify.verification import Request, verify
from provisioner.events import Silent
from tests.boot.conftest import Seen
from tests.boot.test_broken_images import CLONE_CHECKS, assert_consoles_are_kept
from tests.conftest import BASE, Ended, command

GROUP = 'WorkerGroupName == "Bakery\'s \\"proof\\" $(run)"'


@pytest.fixture(scope="module")
def image(baked_prominence: dict[str, Any]) -> Path:
    """A PROMINENCE worker's, proven to offline and no further, whatever an earlier run has shown."""
    path = Path(baked_prominence["path"])
    manifest = read_manifest(path)
    assert manifest
    write_manifest(path, {**manifest, "proof": {"offline": manifest["proof"]["offline"]}})
    return path


def phases(done: Ended) -> list[str]:
    events = [json.loads(row) for row in done.err.splitlines()]
    return [event["name"] for event in events if event["event"] == "end"]


def shown(proof: dict[str, Any], level: str) -> list[str]:
    return [check["what"] for check in proof[level]["checks"]]


class Watch:
    """What of the worker's token can be seen on this machine while it is proven."""

    def __init__(self, store: Store) -> None:
        self.token = ""
        self.seen_in: set[str] = set()
        self.readable: set[str] = set()
        self._work = store.root / "work"

    def look(self) -> None:
        if not self.token:
            self._find_token()
            return
        signature = self.token.rsplit(".", 1)[1].encode()
        for name in ("cmdline", "environ"):
            for path in Path("/proc").glob(f"[0-9]*/{name}"):
                try:
                    if signature in path.read_bytes():
                        self.seen_in.add(str(path))
                except OSError:
                    continue

    def _find_token(self) -> None:
        for seed in self._work.glob("*/seed.iso"):
            found = re.search(rb"^Token = (\S+)$", seed.read_bytes(), re.MULTILINE)
            if found:
                self.token = found[1].decode()
                if stat.S_IMODE(seed.parent.stat().st_mode) & 0o077:
                    self.readable.add(str(seed))


@contextmanager
def watched(store: Store) -> Iterator[Watch]:
    watch, over = Watch(store), threading.Event()

    def look_on() -> None:
        while not over.wait(0.5):
            watch.look()

    thread = threading.Thread(target=look_on)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def files_with(needle: bytes, root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and needle in path.read_bytes()]


def test_a_worker_joins_runs_only_its_jobs_and_leaves_and_its_token_is_seen_nowhere(
    packer_baked: Seen, store: Store, tmp_path: Path
) -> None:
    """The image that packer baked; the chroot engine's joins a pool in test_life_vm.py."""
    image = Path(packer_baked.result["path"])
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    with watched(store) as watch:
        done = command(
            "worker-bakery", "verify", str(image), "--level", "pool", "--firmware", "efi", "--json", "-v"
        )
    assert done.status == 0, done.err[-5000:]
    proof = json.loads(done.out)["proof"]
    assert shown(proof, "boot")[0] == "booted (efi), ssh answered"
    assert shown(proof, "pool") == [
        f"seen in the collector, power-on to {GROUP}",
        "a job of TG-PROOF01 ran on it, its output came back",
        "a job of TG-SOMEBODY-ELSE was refused by the worker",
        "powered itself off after an IdleTimeout of 20 s",
    ]

    assert watch.token, "the watch never saw the seed, so it proves nothing"
    assert (watch.seen_in, watch.readable) == (set(), set())
    signature = watch.token.rsplit(".", 1)[1]
    assert signature not in done.out + done.err
    assert hashlib.sha256(image.read_bytes()).hexdigest() == before
    qemu_img.to_raw(image, tmp_path / "disk.raw")
    assert files_with(signature.encode(), tmp_path) == []
    for folder in ("images", "work", "logs"):
        assert files_with(signature.encode(), store.root / folder) == []


@pytest.mark.full
def test_bake_image_proves_a_prominence_worker_and_only_what_is_missing(image: Path) -> None:
    """It joins by its user-data, and runs the job it is for."""
    wanted = ("--worker", "prominence", "--verify", "pool", "--json", "-v")
    done = command("bake-image", *wanted)
    assert done.status == 0, done.err[-5000:]
    result = json.loads(done.out)
    assert result["path"] == str(image)
    assert "image tests on the mounted root" not in phases(done)
    booted, tested = shown(result["proof"], "boot")
    assert booted == "booted (bios), ssh answered"
    assert re.fullmatch(r"image tests over ssh: \d+ passed", tested)
    assert result["proof"]["boot"]["accelerator"] in ("kvm", "tcg")
    seen, *rest = shown(result["proof"], "pool")
    assert seen.startswith("seen in the collector, power-on to ")
    assert [re.sub("the job .* (ran|was refused)", r"a job \1", text) for text in rest] == [
        "a job ran on it, its output came back",
        "a job was refused by the worker",
        "powered itself off after an IdleTimeout of 20 s",
    ]
    again = command("bake-image", *wanted)
    assert json.loads(again.out)["from_store"]
    assert phases(again) == []


@pytest.mark.full
@pytest.mark.parametrize("kind", ["osg", "prominence"])
def test_two_virtual_machines_of_an_image_share_nothing_and_one_is_itself_after_a_second_boot(
    kind: str, request: pytest.FixtureRequest, store: Store
) -> None:
    """Without the levels below: the machines of this one boot by themselves."""
    baked = request.getfixturevalue({"osg": "baked", "prominence": "baked_prominence"}[kind])
    path = Path(baked["path"])
    proof = verify(Request(path, ("clone",), BASE.login), store, Silent())["clone"]
    assert [check["what"] for check in proof["checks"]] == CLONE_CHECKS
    assert proof["machine"] == "vm"
    assert proof["accelerator"] in ("kvm", "tcg")
    assert_consoles_are_kept(proof["consoles"], path, store, "serial.log")
