"""What a bake says of an image that is not baked again."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from bakery.bake import lookup
from bakery.bake.options import Options, make_plan
from bakery.store.store import Store, commit
from provisioner.events import Event


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def stored(options: Options, folder: Path) -> tuple[Store, Path]:
    """A store that has the image."""
    store = Store(folder / "cache")
    image = store.image(make_plan(options)[1])
    (folder / "image").write_bytes(b"an image")
    commit(folder / "image", image, {"size": len(b"an image"), "proof": {}})
    return store, image


def test_an_image_of_the_store_is_said_to_be_in_the_cache(tmp_path: Path) -> None:
    """Messages say cache, as the command and the variable do."""
    options, monitor = Options(level="none"), Recorder()
    store, image = stored(options, tmp_path)
    assert lookup.bake(options, store, monitor).path == image
    texts = [event["text"] for event in monitor.events if event["event"] == "note"]
    assert texts == ["The image is already in the cache."]
    [warning] = [event["text"] for event in monitor.events if event["event"] == "warning"]
    assert "has no lock: an earlier version baked it" in warning


@pytest.mark.parametrize(
    "options", [Options(level="none", refresh="never"), Options(level="none", offline=True)]
)
def test_an_image_about_which_nobody_is_asked_has_an_age(options: Options, tmp_path: Path) -> None:
    monitor, store = Recorder(), Store(tmp_path / "cache")
    made = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3, hours=1)
    (tmp_path / "image").write_bytes(b"an image")
    manifest = {"size": len(b"an image"), "proof": {}, "made": made.isoformat()}
    commit(tmp_path / "image", store.image(make_plan(options)[1]), manifest)
    lookup.bake(options, store, monitor)
    assert monitor.events == [
        {"event": "note", "text": "The image is already in the cache: baked 3 days ago."}
    ]


def test_an_image_is_copied_to_the_output_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the builder image, whose cache may be removed with the container."""
    options, folder = Options(level="none"), tmp_path / "images"
    store, image = stored(options, tmp_path)
    folder.mkdir()
    monkeypatch.setenv("WORKER_BAKERY_OUTPUT", str(folder))
    assert lookup.bake(options, store, Recorder()).path == folder / image.name
    assert (folder / image.name).read_bytes() == b"an image"
    written = {image.name, f"{image.stem}.manifest.json", f"{image.stem}.SHA256SUMS"}
    assert {path.name for path in folder.iterdir()} == written


def test_output_takes_precedence_over_the_output_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(level="none", output=tmp_path / "mine.qcow2")
    store, _ = stored(options, tmp_path)
    monkeypatch.setenv("WORKER_BAKERY_OUTPUT", str(tmp_path / "missing"))
    assert lookup.bake(options, store, Recorder()).path == tmp_path / "mine.qcow2"
