"""Which entries prune and bakes remove, and in which order."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.commands import cache as cache_command
from bakery.store import retention
from bakery.store.locks import exclusive_lock, lock_file, shared_lock, try_exclusive_lock
from bakery.store.retention import DAY, EXPENDABLE, GIB, Entry, Kind, Policy, select
from bakery.store.store import Store, commit, work_folder
from provisioner.checkpoints import is_worth_keeping
from provisioner.errors import BadInput
from provisioner.events import Event

NOW = 100 * DAY
OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64


def entry(kind: Kind, name: str, days: float, of: str = "", **more: Any) -> Entry:
    """Return an entry of 1 GiB that was last used `days` days ago."""
    used = NOW - days * DAY
    return Entry(kind, name, Path(name), GIB, used, used, of, **more)


KEPT = (
    entry("base", OLD, 9, OLD),
    entry("checkpoint", "over old", 8, OLD),
    entry("base", NEW, 7, NEW),
    entry("checkpoint", "over new", 1, NEW),
    entry("image", "image", 6),
    entry("packages", "trixie", 2),
)


def names(policy: Policy, cache: tuple[Entry, ...] = KEPT) -> list[str]:
    return [entry.name for entry in select(cache, policy, NOW)]


def test_without_options_only_useless_entries_are_removed() -> None:
    useless = (
        entry("damaged", "damaged", 0, useless=True),
        entry("work", "living", 0, in_use=True),
        entry("work", "left", 0, useless=True),
        entry("checkpoint", "orphan", 0, OTHER, useless=True),
    )
    assert names(Policy(), KEPT + useless) == ["damaged", "left", "orphan"]


def test_by_age_a_base_is_removed_after_all_its_checkpoints() -> None:
    assert names(Policy(older_than=5 * DAY)) == ["over old", OLD, "image"]


def test_by_size_the_least_recently_used_entry_is_removed_first() -> None:
    assert names(Policy(max_size=4 * GIB)) == ["over old", OLD]
    assert names(Policy(max_size=6 * GIB)) == []


def test_size_zero_removes_all_entries_not_in_use() -> None:
    held = (*KEPT[:3], entry("checkpoint", "over new", 1, NEW, in_use=True), *KEPT[4:])
    assert set(names(Policy(max_size=0), held)) == {"over old", OLD, "image", "trixie"}
    assert len(names(Policy(max_size=0))) == len(KEPT)


def test_everything_includes_entries_without_a_size() -> None:
    link = replace(KEPT[0], name="link", size=0)
    assert names(Policy(max_size=0), (link,)) == []
    assert names(Policy(everything=True), (link,)) == ["link"]
    assert len(names(Policy(everything=True))) == len(KEPT)


def test_age_and_size_are_combined() -> None:
    assert names(Policy(older_than=5 * DAY, max_size=2 * GIB)) == ["over old", OLD, "image", "trixie"]


def test_bakes_never_remove_images_or_bases_automatically() -> None:
    assert names(Policy(max_size=0, kinds=EXPENDABLE)) == ["over old", "trixie", "over new"]


def test_checkpoint_is_kept_if_its_steps_took_much_longer_than_writing() -> None:
    assert is_worth_keeping("auto", steps=10, writing=3)
    assert not is_worth_keeping("auto", steps=10, writing=4)
    assert not is_worth_keeping("auto", steps=5, writing=0.5)
    assert is_worth_keeping("all", steps=1, writing=6) and not is_worth_keeping("none", steps=10, writing=4)


# --- a store of small files --------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store(tmp_path / "cache")
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(made.root))
    put(made, made.base(OLD), {"base": "debian13"})
    put(made, made.checkpoint(OTHER), {"base_id": OLD})
    put(made, made.root / "images" / "image.qcow2", {"sha256": "0" * 64})
    made.packages("trixie").mkdir(parents=True)
    (made.packages("trixie") / "a.deb").write_bytes(b"x" * 9000)
    return made


def put(cache: Store, at: Path, manifest: dict[str, Any]) -> None:
    with work_folder(cache) as work:
        (work / "disk").write_bytes(b"x" * 9000)
        commit(work / "disk", at, {"size": 9000, **manifest})


def listed(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, dict[str, Any]]:
    assert cache_command.main(["list", "--json", *argv]) == 0
    return {row["kind"]: row for row in json.loads(capsys.readouterr().out)["entries"]}


def test_list_prints_all_entries(cache: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert set(found) == {"base", "checkpoint", "image", "packages"}
    assert found["checkpoint"]["of"] == OLD
    assert found["image"]["size"] >= 9000
    assert not any(row["in_use"] or row["useless"] for row in found.values())
    assert cache_command.main(["list"]) == 0
    assert f"over base {OLD[:12]}" in capsys.readouterr().out


def test_packages_that_a_bake_has_linked_are_counted_once(cache: Store) -> None:
    packages = cache.packages("trixie")
    alone = sum(entry.size for entry in retention.entries(cache))
    with work_folder(cache) as work:
        (work / "a.deb").hardlink_to(packages / "a.deb")
        assert sum(entry.size for entry in retention.entries(cache)) == alone


def test_list_verify_detects_damage(cache: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--verify")["image"]["damaged"] is True


def test_entries_in_use_are_listed_and_not_removed(
    cache: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with shared_lock(cache.base(OLD)), work_folder(cache) as work, exclusive_lock(cache.packages("trixie")):
        found = listed(capsys)
        assert {kind for kind, row in found.items() if row["in_use"]} == {"base", "packages", "work"}
        assert cache_command.main(["prune", "--all", "-q"]) == 0
        assert work.exists()
        assert cache.base(OLD).exists()
        assert (cache.packages("trixie") / "a.deb").exists()
    assert not cache.checkpoint(OTHER).exists()


def test_prune_all_removes_everything_and_its_dry_run_nothing(
    cache: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(cache.root.rglob("*"))
    assert cache_command.main(["prune", "--all", "--dry-run"]) == 0
    assert sorted(cache.root.rglob("*")) == before
    assert "would be freed" in capsys.readouterr().err
    assert cache_command.main(["prune", "--all"]) == 0
    assert [path for path in cache.root.rglob("*") if path.is_file()] == []


def test_prune_by_age_uses_the_time_of_last_use(cache: Store, capsys: pytest.CaptureFixture[str]) -> None:
    image = cache.root / "images" / "image.qcow2"
    os.utime(image.with_suffix(".json"), (0, 0))
    assert cache_command.main(["prune", "--older-than", "30"]) == 0
    assert not image.exists()
    assert cache.checkpoint(OTHER).exists()


@pytest.mark.parametrize("bad", ["-1", "nan", "inf", "much"])
def test_invalid_size_is_rejected(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retention.LIMIT, bad)
    with pytest.raises(BadInput, match="GiB"):
        retention.limit()
    with pytest.raises(SystemExit) as end:
        cache_command.main(["prune", f"--max-size={bad}"])
    assert end.value.code == 2


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def test_limit_is_enforced_and_reported_once(cache: Store) -> None:
    recorder = Recorder()
    retention.enforce_limit(retention.limit(), cache, recorder)
    assert recorder.events == []
    retention.enforce_limit(0, cache, recorder)
    assert [event["event"] for event in recorder.events] == ["note"]
    assert "removed 2 checkpoints and package caches" in recorder.events[0]["text"]
    assert not cache.checkpoint(OTHER).exists()
    assert cache.base(OLD).exists()
    assert (cache.root / "images" / "image.qcow2").exists()


# --- locks -------------------------------------------------------------------------------------


def test_lock_file_is_exclusive_and_removed(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "name"
    with lock_file(lock):
        assert try_exclusive_lock(lock) is None
    assert not lock.exists()


def test_shared_lock_prevents_an_exclusive_lock(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with shared_lock(disk) as there:
        assert not there
    disk.write_bytes(b"")
    with shared_lock(disk) as one, shared_lock(disk) as two:
        assert one
        assert two
        assert try_exclusive_lock(disk) is None
    lock = try_exclusive_lock(disk)
    assert lock is not None
    os.close(lock)
