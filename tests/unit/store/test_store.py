from __future__ import annotations

from pathlib import Path

import pytest

from bakery.image import bases, recipe
from bakery.output.commit import copy_into_place
from bakery.store import store
from bakery.store.store import Store, commit, read_manifest, work_folder
from provisioner.errors import BadInput
from provisioner.events import Event
from provisioner.plan import Plan


@pytest.fixture
def cache(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture
def plan() -> Plan:
    return recipe.plan(bases.find("debian13"), "osg")


def put(cache: Store, at: Path, base_id: str) -> None:
    with work_folder(cache) as work:
        (work / "disk").write_bytes(b"disk")
        commit(work / "disk", at, {"base_id": base_id})


def test_cache_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path))
    assert store.default_root() == tmp_path
    monkeypatch.delenv("WORKER_BAKERY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.default_root() == tmp_path / "xdg" / "worker-bakery"


def test_committed_image_is_found(cache: Store, plan: Plan) -> None:
    assert read_manifest(cache.image(plan)) is None
    put(cache, cache.image(plan), plan.base_id)
    assert read_manifest(cache.image(plan)) == {"base_id": plan.base_id}


def test_manifest_without_disk_is_not_an_image(cache: Store, plan: Plan) -> None:
    put(cache, cache.image(plan), plan.base_id)
    cache.image(plan).unlink()
    assert read_manifest(cache.image(plan)) is None


def test_latest_checkpoint_is_used(cache: Store, plan: Plan) -> None:
    assert cache.latest_checkpoint(plan) == (0, cache.base(plan.base_id))
    for done in plan.role_ends()[:2]:
        put(cache, cache.checkpoint(plan.id_after(done)), plan.base_id)
    assert cache.latest_checkpoint(plan)[0] == plan.role_ends()[1]


def test_sealed_disk_is_never_a_checkpoint(cache: Store, plan: Plan) -> None:
    put(cache, cache.checkpoint(plan.steps[-1].id), plan.base_id)
    assert cache.latest_checkpoint(plan)[0] == 0


def test_removing_a_base_removes_only_its_checkpoints(cache: Store, plan: Plan) -> None:
    mine, other = cache.checkpoint("a" * 64), cache.checkpoint("b" * 64)
    put(cache, mine, plan.base_id)
    put(cache, other, "another base")
    put(cache, cache.base(plan.base_id), plan.base_id)
    cache.remove_base(plan.base_id)
    assert not mine.exists()
    assert other.exists()
    assert not cache.base(plan.base_id).exists()


def test_work_folder_is_removed_after_a_failure(cache: Store) -> None:
    with pytest.raises(RuntimeError), work_folder(cache) as work:
        (work / "half").write_bytes(b"half")
        raise RuntimeError
    assert list((cache.root / "work").iterdir()) == []


def test_only_work_folders_of_killed_processes_are_removed(cache: Store) -> None:
    left = cache.root / "work" / "left"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"half")
    with work_folder(cache) as living:
        assert not left.exists()
        with work_folder(cache) as second:
            assert living.exists()
            assert second != living


def test_work_folders_are_private(cache: Store) -> None:
    with work_folder(cache) as work:
        assert work.stat().st_mode & 0o777 == 0o700


def test_image_replaces_an_old_one_atomically(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old")
    copy_into_place(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"new"
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target"}


def test_invalid_target_raises_bad_input(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    for target, says in ((tmp_path / "nowhere" / "target", "nowhere"), (tmp_path, "is a folder")):
        with pytest.raises(BadInput, match=says):
            copy_into_place(tmp_path / "source", target)


class Recorder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def emit(self, event: Event) -> None:
        self.texts.append(event["text"])


def test_disk_shorter_than_in_its_manifest_is_not_a_checkpoint_and_is_renamed(
    cache: Store, plan: Plan
) -> None:
    disk, recorder = cache.checkpoint(plan.id_after(1)), Recorder()
    put(cache, disk, plan.base_id)
    store.write_manifest(disk, {"base_id": plan.base_id, "size": 4})
    assert cache.latest_checkpoint(plan) == (1, disk)
    disk.write_bytes(b"dis")
    assert cache.latest_checkpoint(plan)[0] == 0
    store.rename_damaged(disk, "checkpoint", recorder)
    assert [path.name for path in disk.parent.iterdir()] == [disk.with_suffix(".damaged").name]
    assert "damaged" in recorder.texts[0]


def test_truncated_manifest_is_ignored(cache: Store, plan: Plan) -> None:
    put(cache, cache.image(plan), plan.base_id)
    store.manifest_path(cache.image(plan)).write_text('{"base_id": ')
    assert read_manifest(cache.image(plan)) is None
    assert not store.is_intact(cache.image(plan))
