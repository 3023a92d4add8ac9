"""The lock and the updates of an EL stand-in: real rpm and dnf, metadata by createrepo_c."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from bakery.freshness import ask, compare, inventory, question, record
from bakery.freshness.lock import Lock
from bakery.freshness.metadata.addresses import Addresses
from bakery.freshness.metadata.definitions import Sources
from bakery.machines.layer import layer
from bakery.store.store import Store
from provisioner import installed
from provisioner.apply import apply
from provisioner.errors import CommandFailed, Unreachable
from provisioner.events import Silent
from provisioner.plan import PlannedStep
from provisioner.process import run
from provisioner.roles import locked
from provisioner.steps import Packages, Refresh, Step, lower
from provisioner.targets.chroot import Chroot, TemporaryRepositories
from tests.conftest import Folders
from tests.integration import el_standin
from tests.integration.el_standin import Standin
from tests.integration.freshness.archive import Archive, Handler

IDS = ("baseos", "appstream", "extras")
NAME = "stand-in-extra"


@contextmanager
def serving(folder: Path) -> Iterator[Archive]:
    served = Archive(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, served))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def vendor(standin: Standin, folders: Folders) -> Iterator[Path]:
    folder = folders("el9")
    disk = folder / "vendor.raw"
    run.call(["cp", "--sparse=always", str(standin.disk), str(disk)])
    with el_standin.mounted(disk, folder / "root") as root:
        el_standin.become(root, "9", standin)
        yield root


def addresses(served: Archive, extras: str = "extras") -> Addresses:
    folders = {"baseos": "base", "appstream": "updates", "extras": extras}
    return Addresses("", {name: f"{served.url}/{folder}/" for name, folder in folders.items()})


@contextmanager
def target(vendor: Path, tmp_path: Path, where: Addresses) -> Iterator[Chroot]:
    """A fresh root of an EL9 stand-in, with the repository extras instead of the disabled crb."""
    with layer(vendor, tmp_path) as root:
        definitions = root / "etc/yum.repos.d/almalinux.repo"
        text = definitions.read_text().replace("crb", "extras").replace("enabled=0", "enabled=1")
        definitions.write_text(text)
        made = Chroot(root, TemporaryRepositories("", "", tmp_path / "packages", where.urls))
        try:
            yield made
        finally:
            made.close()


def lock_of(on: Chroot, where: Addresses) -> Lock:
    heard = record.Installed(Silent())
    installed.report(on, heard, 1)
    found = inventory.parse(heard.rows(1))
    assert found
    return record.of_rows(found, Sources(urls=where.urls))


def planned(steps: Iterable[Step]) -> list[PlannedStep]:
    return [PlannedStep("test", title, actions, "") for title, actions in lower(steps)]


def test_updates_and_security_updates(standin: Standin, vendor: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    with serving(standin.repositories) as served, target(vendor, tmp_path, addresses(served)) as on:
        on.run(("dnf", "-q", "-y", "install", NAME), lambda _: None)
        where = addresses(served)
        plain = lock_of(on, where)
        assert [one.id for one in plain.repositories] == list(IDS)
        assert plain.repositories[0].mirror_list == "http://mirrorlist.invalid/?repo=baseos"
        found = record.read(plain, store, where, Silent())
        offers = found.offers
        assert offers
        lock = replace(plain, packages=compare.with_origins(plain, offers), seen=found.heads.seen)
        [mine] = [one for one in lock.packages if one.name == NAME]
        assert (mine.version, mine.origin) == ("1-1", "extras")
        assert [one.origin for one in lock.packages if one.name == "nftables"] in ([], ["baseos"])

        served.forget()
        again = ask.heads(lock, lock.seen, where)
        assert not again.changed and not again.failed
        assert sorted(served.seen) == sorted(
            (f"/{folder}/repodata/repomd.xml", 304) for folder in ("base", "extras", "updates")
        )

        nobody = Addresses("", {**where.urls, "extras": "http://127.0.0.1:9/"})
        refused = ask.heads(lock, lock.seen, nobody)
        assert list(refused.failed) == ["extras"]
        assert "Connection refused" in str(refused.failed["extras"])

        later = addresses(served, "newer")
        answer = question.ask_about(lock, tmp_path / "image.qcow2", {}, store, later)
        assert not answer.failed
        assert [str(one) for one in answer.updates if one.name == NAME] == [f"{NAME} 1-1 → 3-1 (security)"]


def test_dnf_replays_a_lock(standin: Standin, vendor: Path, tmp_path: Path) -> None:
    with serving(standin.repositories) as served:
        where = addresses(served, "newer")
        with target(vendor, tmp_path, where) as on:
            before = lock_of(on, where).packages
            arch = next(one.architecture for one in before if one.name == "grubby")
            rows = tuple((one.name, one.architecture, one.version) for one in before)
            wanted = locked.Locked((*rows, (NAME, arch, "2-1")))
            steps = locked.steps(
                "base", [Refresh("dnf"), Packages("dnf", frozenset({NAME}))], "dnf", wanted
            )
            apply(planned(steps), on, Silent())
            after = {one.name: one.version for one in lock_of(on, where).packages}
            assert after == {**{one.name: one.version for one in before}, NAME: "2-1"}
            apply(planned(list(locked.steps("seal", [], "dnf", wanted))), on, Silent())


def test_a_version_that_dnf_cannot_find_is_named(standin: Standin, vendor: Path, tmp_path: Path) -> None:
    with serving(standin.repositories) as served, target(vendor, tmp_path, addresses(served)) as on:
        wanted = locked.Locked(((NAME, "x86_64", "7-1"),))
        steps = list(locked.steps("base", [Refresh("dnf")], "dnf", wanted))
        with pytest.raises(Unreachable, match=f"no repository offers any more: {NAME} 7-1"):
            apply(planned(steps), on, Silent())
        with pytest.raises(CommandFailed, match="The installed packages differ from the lock"):
            apply(planned(list(locked.steps("seal", [], "dnf", wanted)))[-1:], on, Silent())
