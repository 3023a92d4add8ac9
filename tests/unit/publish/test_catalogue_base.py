"""A base from a catalogue of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bakery.bake.options import base_named
from bakery.catalogue import base, streams
from bakery.image.bases import VendorImage
from provisioner.errors import BadInput, Unreachable
from tests.unit.publish.test_catalogue_plan import Catalogue, image


@pytest.fixture
def url(tmp_path: Path) -> str:
    there = Catalogue()
    for content in "ab":
        there.publish(image(content, "pool"))
    for name, document in there.documents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(document))
    return tmp_path.as_uri()


def test_the_latest_version(url: str) -> None:
    found = base_named(f"{url}#osg-debian13", "x86_64")
    assert isinstance(found.source, VendorImage)
    assert found.source.digest == "b" * 64
    assert found.source.url == f"{url}/images/osg-debian13/amd64/osg-debian13-{'b' * 12}.qcow2"
    assert (found.family, found.login, found.release) == ("debian", "debian", "trixie")
    assert (found.firmware, found.proof) == (("bios", "efi"), "pool")


def test_a_version_by_its_name(url: str) -> None:
    document = base.images(f"{url}/")
    first = streams.entries(document, "worker-bakery:osg-debian13:amd64")[0].version
    assert base_named(f"{url}#osg-debian13@{first}", "x86_64").id == "a" * 64
    with pytest.raises(BadInput, match=f"no version x. It has {first}, "):
        base_named(f"{url}#osg-debian13@x", "x86_64")


def test_mistakes(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="names no image"):
        base_named(url)
    with pytest.raises(BadInput, match="Did you mean osg-debian13"):
        base_named(f"{url}#osg-debain13")
    with pytest.raises(BadInput, match="not available for aarch64, only for amd64"):
        base_named(f"{url}#osg-debian13", "aarch64")
    with pytest.raises(Unreachable, match="root of a catalogue"):
        base_named(f"{url}/x#osg-debian13")
    with pytest.raises(BadInput, match="not a supported scheme"):
        base_named("ftp://host#name")
