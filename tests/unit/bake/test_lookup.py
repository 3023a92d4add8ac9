"""What a bake says of an image that is not baked again."""

from __future__ import annotations

from pathlib import Path

from bakery.bake import lookup
from bakery.bake.options import Options, make_plan
from bakery.store.store import Store, commit
from provisioner.events import Event


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def test_an_image_of_the_store_is_said_to_be_in_the_cache(tmp_path: Path) -> None:
    """Messages say cache, as the command and the variable do."""
    options, monitor, store = Options(level="none"), Recorder(), Store(tmp_path / "cache")
    image = store.image(make_plan(options)[1])
    (tmp_path / "image").write_bytes(b"an image")
    commit(tmp_path / "image", image, {"size": len(b"an image"), "proof": {}})
    assert lookup.bake(options, store, monitor).path == image
    texts = [event["text"] for event in monitor.events if event["event"] == "note"]
    assert texts == ["The image is already in the cache."]
