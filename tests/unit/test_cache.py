"""What prune takes, in which order, and what bakes take unasked."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.commands import cache as cache_command
from bakery.store import retention
from bakery.store.locks import alone, claim, in_use, turn
from bakery.store.retention import DAY, EXPENDABLE, GIB, Entry, Kind, Policy, chosen
from bakery.store.store import Store, commit, work_folder
from provisioner.checkpoints import is_worth_keeping
from provisioner.errors import BadInput
from provisioner.events import Event

NOW = 100 * DAY
OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64


def entry(kind: Kind, name: str, days: float, of: str = "", **more: Any) -> Entry:
    """One of 1 GiB, last used so many days ago."""
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


def names(policy: Policy, kept: tuple[Entry, ...] = KEPT) -> list[str]:
    return [entry.name for entry in chosen(kept, policy, NOW)]


def test_without_options_only_the_useless_goes() -> None:
    useless = (
        entry("damaged", "damaged", 0, useless=True),
        entry("work", "living", 0, in_use=True),
        entry("work", "left", 0, useless=True),
        entry("checkpoint", "orphan", 0, OTHER, useless=True),
    )
    assert names(Policy(), KEPT + useless) == ["damaged", "left", "orphan"]


def test_by_age_a_base_goes_after_its_checkpoints_and_not_while_one_is_young() -> None:
    assert names(Policy(older_than=5 * DAY)) == ["over old", OLD, "image"]


def test_by_size_the_least_recently_used_goes_first() -> None:
    assert names(Policy(max_size=4 * GIB)) == ["over old", OLD]
    assert names(Policy(max_size=6 * GIB)) == []


def test_all_is_all_that_is_not_in_use() -> None:
    held = (*KEPT[:3], entry("checkpoint", "over new", 1, NEW, in_use=True), *KEPT[4:])
    assert set(names(Policy(max_size=0), held)) == {"over old", OLD, "image", "trixie"}
    assert len(names(Policy(max_size=0))) == len(KEPT)


def test_everything_is_more_than_what_has_a_size() -> None:
    link = replace(KEPT[0], name="link", size=0)
    assert names(Policy(max_size=0), (link,)) == []
    assert names(Policy(everything=True), (link,)) == ["link"]
    assert len(names(Policy(everything=True))) == len(KEPT)


def test_age_and_size_are_joined() -> None:
    assert names(Policy(older_than=5 * DAY, max_size=2 * GIB)) == ["over old", OLD, "image", "trixie"]


def test_by_themselves_bakes_never_remove_an_image_or_a_base() -> None:
    assert names(Policy(max_size=0, kinds=EXPENDABLE)) == ["over old", "trixie", "over new"]


def test_a_checkpoint_pays_if_its_steps_took_clearly_longer() -> None:
    assert is_worth_keeping("auto", steps=10, writing=3)
    assert not is_worth_keeping("auto", steps=10, writing=4)
    assert not is_worth_keeping("auto", steps=5, writing=0.5)
    assert is_worth_keeping("all", steps=1, writing=6) and not is_worth_keeping("none", steps=10, writing=4)


# --- a store of small files --------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store(tmp_path / "cache")
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(made.root))
    put(made, made.base(OLD), {"base": "debian13"})
    put(made, made.checkpoint(OTHER), {"base_id": OLD})
    put(made, made.root / "images" / "image.qcow2", {"sha256": "0" * 64})
    made.packages("trixie").mkdir(parents=True)
    (made.packages("trixie") / "a.deb").write_bytes(b"x" * 9000)
    return made


def put(kept: Store, at: Path, manifest: dict[str, Any]) -> None:
    with work_folder(kept) as work:
        (work / "disk").write_bytes(b"x" * 9000)
        commit(work / "disk", at, {"size": 9000, **manifest})


def listed(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, dict[str, Any]]:
    assert cache_command.main(["list", "--json", *argv]) == 0
    return {row["kind"]: row for row in json.loads(capsys.readouterr().out)["entries"]}


def test_list_says_what_there_is(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert set(found) == {"base", "checkpoint", "image", "packages"}
    assert found["checkpoint"]["of"] == OLD
    assert found["image"]["size"] >= 9000
    assert not any(row["in_use"] or row["useless"] for row in found.values())
    assert cache_command.main(["list"]) == 0
    assert f"over base {OLD[:12]}" in capsys.readouterr().out


def test_list_verify_reads_all(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--verify")["image"]["damaged"] is True


def test_what_is_used_is_seen_and_stays(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with in_use(kept.base(OLD)), work_folder(kept) as work, alone(kept.packages("trixie")):
        found = listed(capsys)
        assert {kind for kind, row in found.items() if row["in_use"]} == {"base", "packages", "work"}
        assert cache_command.main(["prune", "--all", "-q"]) == 0
        assert work.exists()
        assert kept.base(OLD).exists()
        assert (kept.packages("trixie") / "a.deb").exists()
    assert not kept.checkpoint(OTHER).exists()


def test_prune_all_leaves_nothing_and_a_dry_run_everything(
    kept: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(kept.root.rglob("*"))
    assert cache_command.main(["prune", "--all", "--dry-run"]) == 0
    assert sorted(kept.root.rglob("*")) == before
    assert "would be freed" in capsys.readouterr().err
    assert cache_command.main(["prune", "--all"]) == 0
    assert [path for path in kept.root.rglob("*") if path.is_file()] == []


def test_prune_by_age_looks_at_the_last_use(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    image = kept.root / "images" / "image.qcow2"
    os.utime(image.with_suffix(".json"), (0, 0))
    assert cache_command.main(["prune", "--older-than", "30"]) == 0
    assert not image.exists()
    assert kept.checkpoint(OTHER).exists()


@pytest.mark.parametrize("bad", ["-1", "nan", "inf", "much"])
def test_a_size_that_is_none_is_refused(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retention.LIMIT, bad)
    with pytest.raises(BadInput, match="GiB"):
        retention.limit()
    with pytest.raises(SystemExit) as end:
        cache_command.main(["prune", f"--max-size={bad}"])
    assert end.value.code == 2


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def test_the_limit_is_kept_and_said_once(kept: Store) -> None:
    heard = Heard()
    retention.keep_within(retention.limit(), kept, heard)
    assert heard.events == []
    retention.keep_within(0, kept, heard)
    assert [event["event"] for event in heard.events] == ["note"]
    assert "2 checkpoints and package caches were removed" in heard.events[0]["text"]
    assert not kept.checkpoint(OTHER).exists()
    assert kept.base(OLD).exists()
    assert (kept.root / "images" / "image.qcow2").exists()


# --- locks -------------------------------------------------------------------------------------


def test_a_turn_is_one_s_own_and_leaves_no_file(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "name"
    with turn(lock):
        assert claim(lock) is None
    assert not lock.exists()


def test_use_is_shared_and_keeps_removers_away(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with in_use(disk) as there:
        assert not there
    disk.write_bytes(b"")
    with in_use(disk) as one, in_use(disk) as two:
        assert one
        assert two
        assert claim(disk) is None
    lock = claim(disk)
    assert lock is not None
    os.close(lock)
