"""An image of a catalogue for a cloud: which one it is, and that what is read is what was published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.catalogue import published, streams
from bakery.publish.image import of_catalogue
from bakery.store.store import Store
from provisioner.errors import BadInput, Unreachable, WrongChecksum
from provisioner.events import Silent
from tests.unit.publish.test_catalogue_plan import Catalogue, image

ARM = "worker-bakery:osg-arm:arm64"
TITLES = {"osg-debian13": f"osg-debian13-{'b' * 12}"}


def written(there: Catalogue, folder: Path) -> str:
    for name, document in there.documents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(document))
    return folder.as_uri()


def with_products(there: Catalogue, **kinds: str) -> Catalogue:
    """With further products that are copies of the one that there is, of these kinds."""
    document = there.documents[streams.IMAGES]
    [first] = document["products"].values()
    more = {f"worker-bakery:{name}:amd64": {**first, "kind": kind} for name, kind in kinds.items()}
    document["products"].update(more)
    return there


@pytest.fixture
def there() -> Catalogue:
    made = Catalogue()
    for content in "ab":
        made.publish(image(content, "pool"))
    return made


def test_the_latest_version_or_the_one_that_is_named(there: Catalogue, tmp_path: Path) -> None:
    url = written(there, tmp_path)
    found = published.find(f"{url}#osg-debian13", "osg")
    assert (found.name, found.kind, found.sha256) == ("osg-debian13", "osg", "b" * 64)
    assert found.title == f"osg-debian13-{found.entry.id[:12]}"
    assert replace(found, entry=replace(found.entry, pubname="")).title == TITLES["osg-debian13"]
    versions = streams.entries(there.documents[streams.IMAGES], "worker-bakery:osg-debian13:amd64")
    old = published.find(f"{url}#osg-debian13@{versions[0].version}", "osg")
    assert old.sha256 == "a" * 64 and str(old) == f"{url}/#osg-debian13@{versions[0].version}"


def test_the_only_image_for_such_workers_needs_no_name(there: Catalogue, tmp_path: Path) -> None:
    url = written(with_products(there, prominence="prominence"), tmp_path)
    assert published.find(url, "osg").name == "osg-debian13"
    assert published.find(f"{url}/", "prominence").name == "prominence"
    with pytest.raises(BadInput, match="no image for slurm workers"):
        published.find(url, "slurm")


def test_several_images_need_a_name(there: Catalogue, tmp_path: Path) -> None:
    url = written(with_products(there, second="osg"), tmp_path)
    with pytest.raises(BadInput, match=r"osg-debian13, second.*--catalogue file:.*#osg-debian13"):
        published.find(url, "osg")


def test_mistakes(there: Catalogue, tmp_path: Path) -> None:
    url = written(with_products(there, other="prominence"), tmp_path)
    for text, says in (
        (f"{url}#other", "is for prominence workers, not for osg workers"),
        (f"{url}#osg-debain13", "Did you mean osg-debian13"),
        (f"{url}#", "--catalogue"),
        ("https://me:secret@host#osg", "must not contain a user name"),
        ("osg-debian13", "--catalogue: .*not a supported scheme"),
    ):
        with pytest.raises(BadInput, match=says) as error:
            published.find(text, "osg")
        assert "secret" not in str(error.value)
    with pytest.raises(Unreachable):
        published.find(f"{url}/nothing#osg-debian13", "osg")


def test_a_name_that_would_change_the_terminal_is_refused(there: Catalogue, tmp_path: Path) -> None:
    [product] = there.documents[streams.IMAGES]["products"].values()
    for version in product["versions"].values():
        version["pubname"] = "osg\x1b[2J"
    with pytest.raises(BadInput, match="cannot be printed"):
        published.find(f"{written(there, tmp_path)}#osg-debian13", "osg")


def test_an_image_for_another_architecture_is_of_use_for_a_cloud(there: Catalogue, tmp_path: Path) -> None:
    """The servers run it, not this machine."""
    products = there.documents[streams.IMAGES]["products"]
    products[ARM] = {**next(iter(products.values())), "arch": "arm64"}
    assert published.find(f"{written(there, tmp_path)}#osg-arm", "osg").name == "osg-arm"


# --- what is read ------------------------------------------------------------------------------


def of_disk(folder: Path, disk: bytes, about: Mapping[str, Any]) -> published.Published:
    text = json.dumps(about).encode()
    (folder / "d.qcow2").write_bytes(disk)
    (folder / "m.json").write_bytes(text)
    entry = streams.Entry("1", "d.qcow2", len(disk), hashlib.sha256(disk).hexdigest(),
                          manifest="m.json", manifest_sha256=hashlib.sha256(text).hexdigest())  # fmt: skip
    return published.Published(f"{folder.as_uri()}/", "osg", "osg", entry)


def test_what_has_another_digest_is_refused(tmp_path: Path) -> None:
    found = of_disk(tmp_path, b"disk", {"id": "x"})
    store = Store(tmp_path / "cache")
    assert published.manifest(found) == {"id": "x"}
    with published.obtained(found, store, Silent()) as path:
        assert path.read_bytes() == b"disk"
    (tmp_path / "d.qcow2").write_bytes(b"disc")
    with pytest.raises(WrongChecksum), published.obtained(found, store, Silent()):
        pass
    (tmp_path / "m.json").write_bytes(b'{"id": "y"}')
    with pytest.raises(WrongChecksum):
        published.manifest(found)
    (tmp_path / "d.qcow2").unlink()
    with pytest.raises(Unreachable), published.obtained(found, store, Silent()):
        pass


def test_a_manifest_of_another_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongChecksum, match="another image"):
        of_catalogue(tmp_path / "d.qcow2", {"sha256": "a" * 64}, "b" * 64, "osg")
