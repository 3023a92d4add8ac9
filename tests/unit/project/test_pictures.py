"""The pictures in the documents are small, and load nothing from another host."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

DOCS = Path(__file__).parent.parent.parent.parent / "docs"
PICTURES = sorted((DOCS / "assets").glob("*.svg"))
_LOADING = re.compile(rb"@font-face|@import|url\(\s*[\"']?https?:|<script|<image|xlink:href=\"https?:")


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_complete(path: Path) -> None:
    data = path.read_bytes()
    assert len(data) < 100_000
    assert ElementTree.fromstring(data).tag.endswith("svg")
    assert not _LOADING.search(data)
    pages = [page for page in DOCS.rglob("*.md") if path.name in page.read_text(encoding="utf-8")]
    assert pages, "no page shows it"


def test_the_pictures_of_status_are_there() -> None:
    assert {"status-watch.svg", "status-plot.svg"} <= {path.name for path in PICTURES}
