"""A disk with every kind of dirt: after a bake, no byte of it is on the raw image.

A canary is a text in one place. GNU grep, not our search, looks for them on the disk before and after.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bakery.image import recipe
from bakery.runtime import qemu_img
from bakery.store.store import Store, manifest_path
from provisioner.disk.file_systems import wait_unmounted
from provisioner.roles.seal import TRACES
from provisioner.targets.chroot import inside
from tests.conftest import BASE, Folders, command
from tests.integration.engines.test_seal_script import traces_of
from tests.integration.verify.test_secret_scan import offset_of, start_of_root, write_at
from tests.secrets_of_tests import random
from tests.shapes import call, mounted


@dataclass
class Canaries:
    """The canaries by what they are in."""

    places: dict[str, str] = field(default_factory=dict)

    def new(self, place: str) -> str:
        assert place not in self.places
        self.places[place] = f"canary{len(self.places):03}{random(20)}"
        return self.places[place]

    def found(self, disk: Path) -> set[str]:
        """The places whose canaries are on the disk. With -z, its zeros are the ends of lines."""
        patterns = [word for canary in self.places.values() for word in ("-e", canary)]
        argv = ["grep", "-z", "-a", "-o", "-F", *patterns, str(disk)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        seen = set(re.findall(r"canary\w{23}", done.stdout))
        return {place for place, canary in self.places.items() if canary in seen}


def seed_traces(root: Path, canaries: Canaries) -> None:
    """One canary for each entry of the seal's list, another one for a hidden name."""
    for trace in TRACES:
        for name in traces_of(trace):
            path = inside(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                path.unlink()
            target = path / "x" if path.is_dir() else path
            target.write_text(f"#!/bin/sh\n# {canaries.new(name)}\nexit 101\n")


def seed_deleted(root: Path, canaries: Canaries) -> None:
    """What the file system keeps of things that are gone: in blocks, inodes, folders and its journal."""
    folder = root / "srv"
    (folder / "deleted").write_text(canaries.new("a deleted file") * 100)
    (folder / canaries.new("the name of a deleted file")).touch()
    (folder / canaries.new("the name of a deleted folder")).mkdir()
    (folder / "link").symlink_to(canaries.new("the target of a deleted link"))
    (folder / "long").symlink_to(canaries.new("the long target of a deleted link") + "x" * 200)
    (folder / "attributes").touch()
    os.setxattr(folder / "attributes", "user.a", canaries.new("an attribute of a deleted file").encode())
    long = canaries.new("a long attribute of a deleted file").encode() * 50
    os.setxattr(folder / "attributes", "user.b", long)
    (folder / "truncated").write_text("x" * 9000 + canaries.new("the end of a truncated file"))
    (folder / canaries.new("the old name of a file")).touch()
    call("sync", "--file-system", root)
    for path in sorted(folder.iterdir()):
        if path.name == canaries.places["the old name of a file"]:
            path.rename(folder / "new")
        elif path.name == "truncated":
            os.truncate(path, 10)
        elif path.is_dir():
            path.rmdir()
        else:
            path.unlink()


def seed(disk: Path, canaries: Canaries) -> None:
    where = Path("/tmp", canaries.new("the path where it was mounted"))
    with mounted("-o", f"loop,offset={start_of_root(disk)},nodiscard", disk, where=where) as root:
        seed_traces(root, canaries)
        seed_deleted(root, canaries)
        for folder in ("tmp", "run"):  # the engine mounts memory there
            inside(root, f"/{folder}/left").write_text(canaries.new(f"/{folder} of the disk"))
        (root / "srv/short").write_text("a short file")
        slack = start_of_root(disk) + offset_of(root / "srv/short") + 2000
    wait_unmounted(disk)
    write_at(disk, slack, canaries.new("behind the end of a file").encode())


@dataclass(frozen=True)
class Seeded:
    store: Store
    canaries: Canaries


@pytest.fixture(scope="module")
def seeded(baked: dict[str, object], store: Store, folders: Folders) -> Iterator[Seeded]:
    """A store whose checkpoint after the role condor is dirty: the rest of the bake starts from it."""
    folder, canaries = folders("canaries"), Canaries()
    own, plan = Store(folder / "cache"), recipe.plan(BASE, "osg")
    done = next(n for n in plan.role_ends() if plan.steps[n - 1].role == "condor")
    kept, mine = (each.checkpoint(plan.id_after(done)) for each in (store, own))
    mine.parent.mkdir(parents=True)
    (own.root / "bases").symlink_to(store.root / "bases")
    disk = folder / "disk.raw"
    qemu_img.to_raw(kept, disk)
    seed(disk, canaries)
    assert canaries.found(disk) == set(canaries.places)
    qemu_img.to_qcow2(disk, mine)
    disk.unlink()
    manifest = json.loads(manifest_path(kept).read_text())
    manifest_path(mine).write_text(json.dumps({**manifest, "size": mine.stat().st_size}))
    yield Seeded(own, canaries)


def test_no_canary_is_on_the_disk_of_the_image(seeded: Seeded, tmp_path: Path) -> None:
    assert len(seeded.canaries.places) >= 40
    env = {"WORKER_BAKERY_CACHE": str(seeded.store.root)}
    done = command("bake-image", "--verify", "offline", "--checkpoints", "none", "--json", env=env)
    assert done.status == 0, done.err[-3000:]
    assert "copy the checkpoint" in done.err
    proof = json.loads(done.out)["proof"]["offline"]
    assert proof["checks"][0]["what"].startswith("no secret in ")
    disk = tmp_path / "disk.raw"
    qemu_img.to_raw(Path(json.loads(done.out)["path"]), disk)
    assert seeded.canaries.found(disk) == set()
