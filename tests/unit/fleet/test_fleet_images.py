"""Which image of a cloud has the content of an image of a catalogue."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.catalogue.published import Published
from bakery.catalogue.streams import Entry
from bakery.fleet import plan, preparing
from bakery.fleet.api import Api
from bakery.fleet.plan import Flavor, Limits
from bakery.fleet.preparing import Wanted
from bakery.publish.glance import plan as publication
from bakery.publish.glance import properties
from provisioner.errors import BadInput

PUBLISHED = Published(
    "https://images.example.org/", "osg", "osg", Entry("1", "d.qcow2", 1, "b" * 64, id="c" * 64)
)
FLAVOR = Flavor("1", "m3.small", 2, 6144, 20)
IMAGES = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "name": st.sampled_from(("osg", "osg-bbbbbbbbbbbb", "osg-uploading", None)),
        "status": st.sampled_from(("active", "queued", "saving", "deactivated")),
        "owner": st.sampled_from(("mine", "of the cloud")),
        "os_hidden": st.booleans(),
        "created_at": st.sampled_from(("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")),
        "worker_bakery_sha256": st.sampled_from(("b" * 64, "a" * 64, "")),
        "worker_bakery_kind": st.just("osg"),
        "min_disk": st.just(4),
        "min_ram": st.just(0),
    }
)


class Glance(Api):
    """It filters as Glance does, or not at all."""

    def __init__(self, images: list[dict[str, Any]], *, filters: bool) -> None:
        super().__init__(cast(Any, None))
        self.images, self.filters = images, filters

    @property
    def project(self) -> str:
        return "mine"

    def _glance(self, path: str) -> Any:
        hidden = "os_hidden=true" in path
        found = [one for one in self.images if one["os_hidden"] == hidden]
        wanted = [one for one in found if one["worker_bakery_sha256"] in path] if self.filters else found
        return {"images": wanted}

    def flavor(self, name: str) -> Flavor:
        return FLAVOR

    def networks(self) -> list[Any]:
        return [{"id": "n", "name": "workers"}]

    def limits(self, *, volumes: bool = False) -> Limits:
        return Limits({})


def test_the_words_are_those_of_publish() -> None:
    assert plan.SHA256 == properties.SHA256
    assert plan.UPLOADING == publication.UPLOADING


@given(st.lists(IMAGES, max_size=8, unique_by=lambda one: one["id"]), st.booleans())
def test_only_a_complete_image_of_the_content_is_used(images: list[dict[str, Any]], filters: bool) -> None:
    fit = [
        one
        for one in images
        if one["status"] == "active"
        and one["worker_bakery_sha256"] == "b" * 64
        and one["name"] != "osg-uploading"
    ]
    found = Glance(images, filters=filters).image_of("b" * 64)
    assert (found is None) == (not fit)
    if found:
        [chosen] = [one for one in fit if one["id"] == found.id]
        assert chosen["owner"] == "mine" or all(one["owner"] != "mine" for one in fit)


def test_an_image_that_is_missing_is_planned_without_an_id() -> None:
    wanted = Wanted(image="", flavor="m3.small", count=1, published=PUBLISHED)
    found = preparing.find(wanted, Glance([], filters=True))
    assert (found.image.id, found.image.name, found.image.kind) == ("", f"osg-{'b' * 12}", "osg")
    with pytest.raises(BadInput, match="is for osg workers"):
        plan.check_image(found.image, FLAVOR, "prominence")
