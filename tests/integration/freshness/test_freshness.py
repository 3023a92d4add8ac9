"""--refresh, outdated and --lock with a real bake from a signed repository on loopback that changes.

The tests of this file are a story in their order: each begins with the state that the one before left.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.store.locks import exclusive_lock
from bakery.store.store import Store, manifest_path
from provisioner.roles import locked
from tests.conftest import BASE, Ended, Folders, command, mounted
from tests.integration.freshness import archive
from tests.integration.freshness.archive import Archive

UNCHANGED = ("InRelease", 304)


@dataclass
class Site:
    archive: Archive
    cache: Path
    source: Path
    folder: Path

    def bake(self, *more: str, refresh: str = "auto") -> Ended:
        role = ("--with", "cvmfs", "--cvmfs-repositories", "stand-in.example.org")
        fixed = ("--verify", "none", "--checkpoints", "all", "--engine", "chroot", "--json")
        lent = ("--apt-source", str(self.source), "--refresh", refresh)
        return self.run("bake-image", *role, *fixed, *lent, *more)

    def run(self, *argv: str) -> Ended:
        self.archive.forget()
        return command(argv[0], *argv[1:], env={"WORKER_BAKERY_CACHE": str(self.cache)})

    def outdated(self, *more: str) -> Ended:
        return self.run("worker-bakery", "outdated", *more)


@pytest.fixture(scope="module")
def site(store: Store, baked: dict[str, Any], folders: Folders) -> Iterator[Site]:
    """A store with the base and the downloaded packages of Debian, and the archive with version 1."""
    folder = folders("freshness")
    own = Store(folder / "cache")
    own.base(BASE.id).parent.mkdir(parents=True)
    for path in (store.base(BASE.id), manifest_path(store.base(BASE.id))):
        shutil.copyfile(path, own.base(BASE.id).parent / path.name)
    with exclusive_lock(store.packages("trixie")):
        shutil.copytree(store.packages("trixie"), own.packages("trixie"))
    with archive.serving(folder / "archive") as served:
        served.publish("1")
        yield Site(served, own.root, served.source(folder / "lent.sources"), folder)


def result(done: Ended) -> dict[str, Any]:
    assert done.status == 0, done.err[-3000:]
    found: dict[str, Any] = json.loads(done.out)
    return found


def texts(done: Ended, *kinds: str) -> list[str]:
    events = [json.loads(row) for row in done.err.splitlines()]
    return [event["text"] for event in events if event["event"] in (kinds or ("note", "warning"))]


def lock_of(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest_path(Path(path)).read_text())["lock"]
    return found


def version_of(path: str) -> str:
    rows = lock_of(path)["packages"]
    return str(next(row[2] for row in rows if row[0] == archive.NAME))


def test_the_manifest_locks_every_package_with_its_repository(site: Site) -> None:
    path = result(site.bake())["path"]
    lock = lock_of(path)
    rows = {name: (version, origin) for name, _, version, origin in lock["packages"]}
    assert rows["cvmfs"] == ("1", "apt-source ./")
    assert rows["condor"][1] == "debian trixie"
    assert [name for name, (_, origin) in rows.items() if not origin] == []
    assert {one["id"] for one in lock["repositories"]} >= {"debian trixie", "apt-source ./"}
    assert all(len(lock["seen"][one["id"]]["digest"]) == 64 for one in lock["repositories"])
    # Debian's repositories have no URL: a mirror is found again when they are asked.
    assert not [one for one in lock["repositories"] if one["id"].startswith("debian") and "url" in one]


def test_nothing_new_costs_one_conditional_request(site: Site) -> None:
    done = site.bake()
    assert result(done)["from_store"] is True
    assert site.archive.asked() == [UNCHANGED]
    [said] = texts(done)
    assert "its repositories had no updates for it" in said
    assert said.startswith("The image is already in the cache: baked ")


def test_never_asks_nobody(site: Site) -> None:
    for how in (site.bake(refresh="never"), site.bake("--offline")):
        assert result(how)["from_store"] is True
        assert site.archive.asked() == []
        assert "repositories" not in texts(how)[0]


def test_metadata_without_a_change_of_our_packages_is_noted(site: Site) -> None:
    """New metadata is read once; the next question is one request again."""
    site.archive.sign()
    assert result(site.bake())["from_store"] is True
    assert site.archive.asked() == [("InRelease", 200)]
    assert result(site.bake())["from_store"] is True
    assert site.archive.asked() == [UNCHANGED]


def test_outdated_finds_nothing(site: Site) -> None:
    done = site.outdated()
    assert done.status == 0, done.err
    assert ": current, baked " in done.out


def test_metadata_that_nobody_trusted_signed_is_not_believed(site: Site) -> None:
    signed = (site.archive.folder / "InRelease").read_bytes()
    (site.archive.folder / "InRelease").write_bytes(signed.replace(b"Origin: test", b"Origin: tesT"))
    done = site.bake()
    assert result(done)["from_store"] is True
    assert "no signature by a key that the image trusts" in " ".join(texts(done, "warning"))
    (site.archive.folder / "InRelease").write_bytes(signed)


def test_a_repository_that_does_not_answer_is_a_warning(site: Site) -> None:
    site.archive.broken = True
    done = site.bake()
    assert result(done)["from_store"] is True
    [said] = texts(done, "warning")
    assert "Cannot ask the repository apt-source ./ for updates" in said
    assert "responded with 503" in said
    assert "is used" in said
    assert site.outdated().status == 5
    site.archive.broken = False


def test_outdated_lists_a_security_update(site: Site) -> None:
    site.archive.publish("1", "2")
    done = site.outdated()
    assert done.status == 10
    header, row = (line.split() for line in done.out.splitlines()[1:])
    assert header == ["package", "installed", "available", "security"]
    assert row == ["cvmfs", "1", "2", "yes"]
    [image] = json.loads(site.outdated("--json").out)["images"]
    assert image["state"] == "outdated"
    assert [(one["name"], one["available"], one["security"]) for one in image["updates"]] == [
        ("cvmfs", "2", True)
    ]


def test_an_update_is_baked_from_the_last_checkpoint_without_it(site: Site) -> None:
    done = site.bake()
    path = result(done)["path"]
    said = texts(done, "note")
    assert "has updates: cvmfs 1 → 2 (security). Baking it again." in said[0]
    unused = [text for text in said if "is not used" in text]
    assert [text.split(" is not")[0].rpartition(" ")[2] for text in unused] == ["osg_worker", "cvmfs"]
    assert "Resuming from the checkpoint after condor." in said
    assert version_of(path) == "2"
    assert site.outdated().status == 0
    assert result(site.bake())["from_store"] is True
    assert site.archive.asked() == [UNCHANGED]


def test_always_bakes_although_nothing_is_new(site: Site) -> None:
    done = site.bake(refresh="always")
    assert result(done)["from_store"] is False
    # Its checkpoints are current.
    assert "Resuming from the checkpoint after osg_worker." in texts(done, "note")


def test_a_lock_names_a_version_that_is_gone(site: Site) -> None:
    lock = site.folder / "worker.lock"
    packages = lock_of(result(site.bake("--lock", str(lock)))["path"])["packages"]
    assert json.loads(lock.read_text())["packages"] == packages
    assert "127.0.0.1" not in lock.read_text().replace(site.archive.url, "")
    site.archive.publish("3")
    done = site.bake("--lock", str(lock))
    assert done.status == 5
    error = json.loads(done.err.splitlines()[-1])
    assert error["message"] == "The lock has versions that no repository offers any more: cvmfs 2."
    assert "install autofs, cvmfs" not in done.err


def test_a_lock_replays_the_old_versions(site: Site) -> None:
    site.archive.publish("2", "3")
    lock = site.folder / "worker.lock"
    done = site.bake("--lock", str(lock))
    path = result(done)["path"]
    assert version_of(path) == "2"
    assert lock_of(path)["packages"] == json.loads(lock.read_text())["packages"]
    assert result(site.bake("--lock", str(lock)))["from_store"] is True
    assert site.archive.asked() == []  # exact versions are wanted, not the newest
    (site.folder / "mount").mkdir()
    with mounted(Path(path), site.folder / "mount") as root:
        for left in (locked.PINS, locked.SETTINGS, locked.LIST):
            assert not (root / left[1:]).exists()
    # Without the lock the newest version is baked.
    assert version_of(result(site.bake())["path"]) == "3"
