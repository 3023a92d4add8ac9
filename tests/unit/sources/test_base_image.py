"""What an error about a base that cannot be downloaded says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.image import bases
from bakery.runtime.mirror import Mirror
from bakery.sources import base_image, download
from bakery.store.store import Store
from provisioner.errors import Unreachable
from provisioner.events import Silent
from tests.conftest import VENDOR


@pytest.mark.parametrize(("received", "kept"), [(b"half", True), (b"", False)])
def test_the_hint_names_a_partial_download_only_if_there_is_one(
    received: bytes, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_pinned: download.PinnedFile, part: Path, _monitor: object) -> None:
        part.write_bytes(received)
        raise Unreachable("Cannot download it.", "Set a proxy.")

    monkeypatch.setattr(download, "fetch", interrupted)
    file = tmp_path / "mine.toml"
    file.write_text(VENDOR.format(url="http://vendor.invalid/image.qcow2", digest="ab" * 32))
    base, store = bases.find(str(file)), Store(tmp_path / "cache")
    sources = base_image.SourceOptions(Mirror("", ""))
    with (
        pytest.raises(Unreachable) as caught,
        base_image.provide(base, store, sources, tmp_path, Silent(), rebuild=False),
    ):
        pytest.fail("the base does not exist")
    partial = f" The partial download was kept in {store.root}/downloads." if kept else ""
    assert caught.value.hint.startswith(f"Set a proxy.{partial} Download the image elsewhere")
