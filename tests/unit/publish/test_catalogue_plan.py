"""Plans of a catalogue: what is written, in which order, and what stays."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bakery.catalogue import streams
from bakery.publish.catalogue.plan import Plan, Remove, UploadImage, Write, key, manifest_of, plan
from bakery.publish.image import Image, System
from tests.unit.description.sample import manifest

NOW = datetime.datetime(2026, 11, 29, 8, 30, tzinfo=datetime.UTC)
SYSTEM = System("debian", "13", "trixie", "debian", "debian", ("bios", "efi"), "x86_64")


def image(content: str, *levels: str) -> Image:
    return Image(
        path=Path("osg-debian13-0123456789ab.qcow2"),
        name="osg-debian13",
        format="qcow2",
        id="0123456789ab" + "0" * 52,
        kind="osg",
        base="debian13",
        made="2026-11-29T08:00:00+00:00",
        size=1 << 20,
        sha256=content * 64,
        levels=levels,
        system=SYSTEM,
        manifest={"id": content, "proof": list(levels)},
    )


class Catalogue:
    """The documents and paths that the planned actions make."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.files: set[str] = set()
        self.hours = 0

    def plan(self, wanted: Image, keep: int | None = None) -> Plan:
        self.hours += 1
        now = NOW + datetime.timedelta(hours=self.hours)
        return plan(wanted, self._of(streams.IMAGES), self._of(streams.INDEX), self.files, keep, now)

    def publish(self, wanted: Image, keep: int | None = None, *, until: int = 100) -> Plan:
        planned = self.plan(wanted, keep)
        for action in planned.actions[:until]:
            match action:
                case UploadImage(path):
                    self.files.add(path)
                case Write(path, content) if path.startswith("streams"):
                    self.documents[path] = json.loads(content)
                case Write(path):
                    self.files.add(path)
                case Remove(path):
                    self.files.remove(path)
        return planned

    def _of(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.documents.get(name, {})
        return found

    def versions(self) -> list[str]:
        """The first digit of the content of each version."""
        return [entry.sha256[0] for entry in streams.entries(self._of(streams.IMAGES), key(image("a")))]

    def is_sound(self) -> bool:
        """Whether every file that the catalogue names is there."""
        return streams.paths(self._of(streams.IMAGES)) <= self.files


def test_the_image_is_complete_before_the_catalogue_names_it() -> None:
    actions = Catalogue().plan(image("a", "pool")).actions
    assert [type(action) for action in actions] == [UploadImage, Write, Write, Write]
    assert [action.path for action in actions][2:] == [streams.IMAGES, streams.INDEX]


def test_the_same_content_is_left_alone() -> None:
    there = Catalogue()
    there.publish(image("a", "pool"))
    again = there.plan(image("a", "pool"))
    assert not again.actions
    assert not again.uploads


def test_more_proof_changes_the_version_and_uploads_nothing() -> None:
    there = Catalogue()
    there.publish(image("a", "pool"))
    planned = there.publish(image("a", "pool", "clone"))
    assert not planned.uploads
    (entry,) = streams.entries(there.documents[streams.IMAGES], key(image("a")))
    assert entry.proof == "pool clone"
    assert there.is_sound()
    assert len(there.files) == 2  # the old manifest has gone


def test_an_older_content_becomes_the_latest_again_without_an_upload() -> None:
    there = Catalogue()
    for content in "ab":
        there.publish(image(content))
    assert not there.publish(image("a")).uploads
    assert there.versions() == ["a", "b", "a"]
    assert there.is_sound()


def test_old_versions_go_and_their_files_after_the_document_names_them_no_more() -> None:
    there = Catalogue()
    for content in "abc":
        there.publish(image(content))
    planned = there.publish(image("d"), keep=2)
    assert there.versions() == ["c", "d"]
    assert len(planned.retired) == 2
    assert len(there.files) == 4
    kinds = [type(action) for action in planned.actions]
    assert kinds.index(Remove) > kinds.index(Write)
    assert all(isinstance(action, Remove) for action in planned.actions[kinds.index(Remove) :])


def test_a_file_that_two_versions_name_stays_as_long_as_one_does() -> None:
    there = Catalogue()
    for content in "aba":
        there.publish(image(content))
    there.publish(image("a"), keep=1)
    assert there.versions() == ["a"]
    assert there.is_sound()
    assert len(there.files) == 2


def test_wherever_a_publication_ends_the_next_completes_it_and_leaves_nothing_else() -> None:
    for until in range(6):
        there = Catalogue()
        for content in "ab":
            there.publish(image(content))
        there.publish(image("c"), keep=1, until=until)
        assert there.is_sound(), until
        there.publish(image("d"), keep=1)
        assert there.versions() == ["d"], until
        assert there.files == streams.paths(there.documents[streams.IMAGES])


def test_other_products_stay_as_they_are() -> None:
    theirs = {"products": {"com.example:x:amd64": {"arch": "amd64", "versions": {"1": {"items": {}}}}}}
    there = Catalogue()
    there.documents[streams.IMAGES] = theirs
    there.publish(image("a"))
    document = there.documents[streams.IMAGES]
    assert document["products"]["com.example:x:amd64"] == theirs["products"]["com.example:x:amd64"]
    assert streams.names(document) == {"osg-debian13": ("amd64",)}


def test_another_name_is_another_product() -> None:
    there = Catalogue()
    there.publish(image("a"))
    there.publish(replace(image("a"), name="mine"), keep=1)
    assert streams.names(there.documents[streams.IMAGES]) == {
        "osg-debian13": ("amd64",),
        "mine": ("amd64",),
    }
    assert set(there.documents[streams.INDEX]["index"][streams.CONTENT]["products"]) == {
        "worker-bakery:osg-debian13:amd64",
        "worker-bakery:mine:amd64",
    }


def test_a_version_is_later_than_all_others_whatever_the_clock_says() -> None:
    document: dict[str, Any] = {"products": {"k": {"versions": {"20991231.000000": {}}}}}
    assert streams.next_version(document, "k", NOW) == "20991231.000000.1"
    assert streams.next_version({}, "k", NOW) == "20261129.083000"


def test_a_published_manifest_does_not_name_the_mirror() -> None:
    published = manifest_of(replace(image("a", "offline"), manifest=manifest()))
    assert b"mirror.site.example" in json.dumps(manifest()).encode()
    assert b"mirror.site.example" not in published
    assert json.loads(published)["kind"] == "osg"
