"""The private package caches of bakes that run at once, and what they leave in the shared one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from bakery.engines.chroot import package_cache
from bakery.engines.chroot.package_cache import private
from bakery.store.locks import exclusive_lock, try_exclusive_lock
from provisioner.events import Event, Silent

SHARED = {
    "archives/a_1_all.deb": "a",
    "archives/lock": "",
    "archives/partial/b_1_all.deb": "half of b",
    "lists/mirror_InRelease": "release 1",
    "lists/mirror_Packages": "packages 1",
    "lists/auxfiles/more": "more",
    "rpm/base-0f/packages/a-1.rpm": "a",
    "rpm/base-0f/repodata/repomd.xml": "repomd 1",
    "rpm/base.solv": "solv 1",
    "mkosi/a.deb": "of mkosi",
}


class Kept(list[Event]):
    def emit(self, event: Event) -> None:
        self.append(event)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "packages" / "trixie"
    write(folder, SHARED)
    for path in folder.rglob("*"):
        os.utime(path, (0, 0))  # a write soon after is seen even if the clock of the file system is coarse
    return folder


def write(folder: Path, content: Mapping[str, str]) -> None:
    """Put files as apt does: complete ones replace others by a rename."""
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / f"{path.name}.new").write_text(text)
        (path.parent / f"{path.name}.new").rename(path)


def read(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def work(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / "work" / name
    folder.mkdir(parents=True)
    return folder


def test_a_bake_sees_the_shared_files_without_locks_partial_downloads_and_mkosi(
    shared: Path, tmp_path: Path
) -> None:
    with private(shared, work(tmp_path, "one"), Silent()) as own:
        hidden = ("archives/lock", "archives/partial", "mkosi")
        assert read(own) == {name: text for name, text in SHARED.items() if not name.startswith(hidden)}
        assert (own / "archives/a_1_all.deb").samefile(shared / "archives/a_1_all.deb")
        assert not (own / "rpm/base.solv").samefile(shared / "rpm/base.solv")
        lock = try_exclusive_lock(shared)
        assert lock is not None  # others are not locked out
        os.close(lock)
    assert read(shared) == SHARED


def test_new_files_of_two_bakes_are_merged(shared: Path, tmp_path: Path) -> None:
    """The second one ends first. Both have downloaded one of the packages."""
    with ExitStack() as first, ExitStack() as second:
        one = first.enter_context(private(shared, work(tmp_path, "one"), Silent()))
        two = second.enter_context(private(shared, work(tmp_path, "two"), Silent()))
        write(
            one, {"archives/b_1_all.deb": "b", "archives/c_1_all.deb": "c", "archives/partial/e.deb": "?"}
        )
        write(two, {"archives/b_1_all.deb": "b", "archives/d_1_all.deb": "d"})
        write(two, {"rpm/base-0f/packages/b-1.rpm": "b"})
        second.close()
        first.close()
    more = {f"archives/{name}_1_all.deb": name for name in "bcd"} | {"rpm/base-0f/packages/b-1.rpm": "b"}
    assert read(shared) == {**SHARED, **more}


def test_a_damaged_package_that_was_downloaded_again_replaces_the_other(
    shared: Path, tmp_path: Path
) -> None:
    with private(shared, work(tmp_path, "one"), Silent()) as own:
        write(own, {"archives/a_1_all.deb": "whole"})
    assert read(shared)["archives/a_1_all.deb"] == "whole"


def test_a_package_that_a_bake_removed_stays(shared: Path, tmp_path: Path) -> None:
    with private(shared, work(tmp_path, "one"), Silent()) as own:
        (own / "archives/a_1_all.deb").unlink()
    assert read(shared) == SHARED


def test_metadata_in_the_shared_cache_are_those_of_one_bake(shared: Path, tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        one = first.enter_context(private(shared, work(tmp_path, "one"), Silent()))
        two = second.enter_context(private(shared, work(tmp_path, "two"), Silent()))
        write(one, {"lists/mirror_InRelease": "release 2", "lists/other_Packages": "of one"})
        (one / "lists/auxfiles/more").unlink()
        (two / "rpm/base.solv").write_text("solv 2")  # in place, as dnf does
        write(two, {"lists/mirror_InRelease": "release 3", "lists/mirror_Packages": "packages 3"})
        first.close()
        assert read(shared)["lists/mirror_Packages"] == "packages 1"
        assert "lists/auxfiles/more" not in read(shared)
        second.close()
    found = read(shared)
    assert {name: text for name, text in found.items() if name.startswith("lists/mirror")} == {
        "lists/mirror_InRelease": "release 3",
        "lists/mirror_Packages": "packages 3",
    }
    assert "lists/other_Packages" not in found
    assert found["rpm/base.solv"] == "solv 2"
    assert found["rpm/base-0f/repodata/repomd.xml"] == "repomd 1"


def test_files_are_kept_when_the_bake_fails(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), private(shared, work(tmp_path, "one"), Silent()) as own:
        write(own, {"archives/b_1_all.deb": "b"})
        raise RuntimeError
    assert read(shared)["archives/b_1_all.deb"] == "b"


def test_a_failed_bake_does_not_wait_for_the_lock(shared: Path, tmp_path: Path) -> None:
    with (
        ExitStack() as other,
        pytest.raises(RuntimeError),
        private(shared, work(tmp_path, "one"), Silent()) as own,
    ):
        write(own, {"archives/b_1_all.deb": "b"})
        other.enter_context(exclusive_lock(shared))
        raise RuntimeError
    assert read(shared) == SHARED


def test_the_shared_cache_may_be_pruned_during_a_bake(shared: Path, tmp_path: Path) -> None:
    with private(shared, work(tmp_path, "one"), Silent()) as own:
        for name in SHARED:
            (shared / name).unlink()
        assert read(own)["archives/a_1_all.deb"] == "a"
        write(own, {"archives/b_1_all.deb": "b"})
    assert read(shared) == {"archives/b_1_all.deb": "b"}


def test_a_cache_that_was_removed_is_created_again(shared: Path, tmp_path: Path) -> None:
    with private(shared, work(tmp_path, "one"), Silent()) as own:
        write(own, {"archives/b_1_all.deb": "b"})
        shared.rename(tmp_path / "elsewhere")
    assert read(shared) == {"archives/b_1_all.deb": "b"}


def test_downloads_that_cannot_be_kept_cause_a_warning(shared: Path, tmp_path: Path) -> None:
    kept = Kept()
    with private(shared, work(tmp_path, "one"), kept) as own:
        write(own, {"archives/b_1_all.deb": "b"})
        (shared / "archives/b_1_all.deb").mkdir()  # in the way
    assert [event["event"] for event in kept] == ["warning"]


def test_without_hard_links_the_shared_cache_is_locked_for_the_bake(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with private(shared, work(tmp_path, "one"), Silent()) as own:
        assert own == shared
        assert try_exclusive_lock(shared) is None
    assert read(shared) == SHARED


def test_an_empty_cache(tmp_path: Path) -> None:
    shared = tmp_path / "packages" / "trixie"
    with private(shared, work(tmp_path, "one"), Silent()) as own:
        assert {path.name for path in own.iterdir()} == set(package_cache.FOLDERS)
        write(own, {"archives/b_1_all.deb": "b", "lists/mirror_InRelease": "1"})
    assert read(shared) == {"archives/b_1_all.deb": "b", "archives/lock": "", "lists/mirror_InRelease": "1"}
