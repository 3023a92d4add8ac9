"""Plans of Glance: what is created, hidden and deleted, whatever an earlier publication has left."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from bakery.publish.glance import plan as plans
from bakery.publish.glance.plan import (
    Create,
    DeleteUnfinished,
    Found,
    Hide,
    Rename,
    Retire,
    Share,
    Update,
    Upload,
    Wanted,
)

NAME = "osg-debian13"
WANTED = Wanted(NAME, {"worker_bakery_proof": "pool"})


@dataclass
class Glance:
    """The images that planned actions make; `contents` is what was uploaded to each."""

    images: dict[str, Found] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    made: int = 0

    def plan(self, content: str, wanted: Wanted = WANTED) -> tuple[plans.Action, ...]:
        there = [
            replace(one, is_whole=one.status == "active" and self.contents.get(one.id) == content)
            for one in self.images.values()
        ]
        return plans.plan(wanted, there)

    def publish(
        self, content: str, wanted: Wanted = WANTED, *, until: int = 100
    ) -> tuple[plans.Action, ...]:
        actions, new = self.plan(content, wanted), ""
        for action in actions[:until]:
            new = self._execute(action, new, content, wanted)
        return actions

    def _execute(self, action: plans.Action, new: str, content: str, wanted: Wanted) -> str:
        match action:
            case Create(name):
                self.made += 1
                new = f"id{self.made}"
                created = f"2026-11-29T08:30:{self.made:02}Z"
                self.images[new] = Found(new, name, "queued", True, "private", created, {}, False)
            case Upload(id):
                new = id or new
                self.contents[new] = content
                self._change(new, status="active")
            case Update(id):
                new = id or new
                self._change(
                    new,
                    name=wanted.name,
                    hidden=False,
                    visibility=wanted.visibility,
                    properties=wanted.properties,
                )
            case Share(id, project):
                one = self.images[id or new]
                self._change(one.id, members=one.members | {project})
            case Hide(id):
                self._change(id, hidden=True)
            case Rename(id, name):
                self._change(id, name=name, hidden=False)
            case Retire(id) | DeleteUnfinished(id):
                del self.images[id]
        return new

    def _change(self, id: str, **changes: object) -> None:
        self.images[id] = replace(self.images[id], **changes)  # type: ignore[arg-type]  # fields of Found

    def shown(self) -> dict[str, str]:
        """The contents of visible images by name."""
        return {one.name: self.contents.get(one.id, "") for one in self.images.values() if not one.hidden}


def test_the_first_publication() -> None:
    glance = Glance()
    assert [type(action) for action in glance.publish("a")] == [Create, Upload, Update]
    assert glance.shown() == {NAME: "a"}


def test_the_same_content_is_left_alone() -> None:
    glance = Glance()
    glance.publish("a")
    assert glance.plan("a") == ()


def test_changed_properties_and_visibility_are_updated_without_an_upload() -> None:
    glance = Glance()
    glance.publish("a")
    more = replace(WANTED, properties={"worker_bakery_proof": "pool clone"}, visibility="community")
    assert [type(action) for action in glance.publish("a", more)] == [Update]
    assert glance.plan("a", more) == ()


def test_projects_are_added_once() -> None:
    glance, wanted = Glance(), replace(WANTED, visibility="shared", projects=("p1", "p2"))
    glance.publish("a", wanted)
    assert glance.plan("a", wanted) == ()
    (added,) = glance.plan("a", replace(wanted, projects=("p1", "p3")))
    assert isinstance(added, Share) and added.project == "p3"


def test_the_previous_image_is_hidden_after_the_new_one_is_shown() -> None:
    glance = Glance()
    glance.publish("a")
    actions = glance.publish("b")
    assert [type(action) for action in actions] == [Create, Upload, Update, Hide]
    assert glance.shown() == {NAME: "b"}


def test_the_previous_image_keeps_a_name_of_its_own() -> None:
    glance, wanted = Glance(), replace(WANTED, previous="rename")
    for content in "abc":
        glance.publish(content, wanted)
    assert glance.shown() == {NAME: "c", f"{NAME}-previous": "b"}
    assert glance.plan("c", wanted) == ()


def test_an_older_image_is_shown_again_without_an_upload() -> None:
    glance = Glance()
    for content in "ab":
        glance.publish(content)
    assert not any(isinstance(action, Upload) for action in glance.publish("a"))
    assert glance.shown() == {NAME: "a"}


def test_old_images_are_deleted_last() -> None:
    glance = Glance()
    for content in "abc":
        glance.publish(content)
    actions = glance.publish("d", replace(WANTED, keep=2))
    kinds = [type(action) for action in actions]
    assert kinds[-2:] == [Retire, Retire]
    assert sorted(glance.contents[id] for id in glance.images) == ["c", "d"]


@pytest.mark.parametrize("previous", ["hide", "rename"])
@pytest.mark.parametrize("until", range(8))
@pytest.mark.parametrize("after", "bc")
def test_wherever_a_publication_ends_the_next_completes_it(
    previous: plans.Previous, until: int, after: str
) -> None:
    wanted = replace(WANTED, previous=previous, keep=2)
    glance = Glance()
    for content in "xa":
        glance.publish(content, wanted)
    glance.publish("b", wanted, until=until)
    glance.publish(after, wanted)
    assert glance.shown()[NAME] == after
    assert len(glance.images) <= 2
    assert not any(one.is_unfinished for one in glance.images.values())
    assert glance.plan(after, wanted) == ()


@pytest.mark.parametrize("status", ["saving", "killed", "importing", "active"])
def test_half_an_image_is_deleted(status: str) -> None:
    """Active, but with less data than were sent: the service did not notice that the client had gone."""
    half = Found("half", f"{NAME}-uploading", status, True, "private", "2026", {}, False)
    actions = plans.plan(WANTED, [half])
    assert actions[0] == DeleteUnfinished("half", status)
    assert [type(action) for action in actions[1:]] == [Create, Upload, Update]


def test_an_image_without_data_is_used() -> None:
    queued = Found("q", f"{NAME}-uploading", "queued", True, "private", "2026", {}, False)
    assert plans.plan(WANTED, [queued]) == (Upload("q"), Update("q", NAME))


def test_a_complete_upload_gets_its_name() -> None:
    whole = Found("w", f"{NAME}-uploading", "active", True, "private", "2026", {}, True)
    assert plans.plan(WANTED, [whole]) == (Update("w", NAME),)
