"""What to do in Glance, from the images that are there. Pure.

An image is uploaded under the name NAME-uploading, hidden. Its checksum is compared before it gets its
name, so nobody starts a server from half of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Previous = Literal["hide", "rename"]
VISIBILITIES = ("private", "shared", "community", "public")


@dataclass(frozen=True)
class Found:
    """An image in Glance that an earlier publication has made.

    `is_whole` is whether its checksum is that of the file to publish; `created` is a time in ISO 8601.
    """

    id: str
    name: str
    status: str
    hidden: bool
    visibility: str
    created: str
    properties: Mapping[str, str]
    is_whole: bool
    members: frozenset[str] = frozenset()

    @property
    def is_unfinished(self) -> bool:
        """Whether it has never got its name."""
        return self.status != "active" or self.name.endswith(UPLOADING)


@dataclass(frozen=True)
class Wanted:
    """How the image shall be in Glance. `projects` are ids, `keep` the number of images; None keeps all."""

    name: str
    properties: Mapping[str, str]
    visibility: str = "private"
    projects: tuple[str, ...] = ()
    previous: Previous = "hide"
    keep: int | None = None


@dataclass(frozen=True)
class DeleteUnfinished:
    id: str
    status: str

    def __str__(self) -> str:
        return f"delete {self.id}, which an interrupted publication has left ({self.status})"


@dataclass(frozen=True)
class Create:
    """Create the image without its data."""

    name: str

    def __str__(self) -> str:
        return f"create the hidden image {self.name}"


@dataclass(frozen=True)
class Upload:
    """Upload the data, and compare the checksum; `id` is "" for the image that `Create` has made."""

    id: str

    def __str__(self) -> str:
        return f"upload the data{f' to {self.id}' if self.id else ''}, compare the checksum"


@dataclass(frozen=True)
class Update:
    """Give the image its name, properties and visibility, and show it."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"publish {self.id or 'it'} as {self.name}"


@dataclass(frozen=True)
class Share:
    id: str
    project: str

    def __str__(self) -> str:
        return f"share it with the project {self.project}"


@dataclass(frozen=True)
class Hide:
    id: str

    def __str__(self) -> str:
        return f"hide the previous image {self.id}"


@dataclass(frozen=True)
class Rename:
    id: str
    name: str

    def __str__(self) -> str:
        return f"rename the previous image {self.id} to {self.name}"


@dataclass(frozen=True)
class Retire:
    """Delete an old image, unless a server uses it."""

    id: str

    def __str__(self) -> str:
        return f"delete the old image {self.id}, unless a server uses it"


Action = DeleteUnfinished | Create | Upload | Update | Share | Hide | Rename | Retire
UPLOADING = "-uploading"
PREVIOUS = "-previous"


def plan(wanted: Wanted, there: Sequence[Found]) -> tuple[Action, ...]:
    """Plan the publication; `there` are all images of ours with this name, hidden ones included."""
    new = _reusable(there)
    actions: list[Action] = [
        DeleteUnfinished(one.id, one.status) for one in there if one.is_unfinished and one != new
    ]
    if new is None:
        actions.append(Create(f"{wanted.name}{UPLOADING}"))
    if new is None or not new.is_whole:
        actions.append(Upload(new.id if new else ""))
    if new is None or not _is_as_wanted(new, wanted):
        actions.append(Update(new.id if new else "", wanted.name))
    members = new.members if new else frozenset()
    actions += [Share(new.id if new else "", one) for one in wanted.projects if one not in members]
    return (*actions, *_previous(wanted, _old(there, new)))


def _reusable(there: Sequence[Found]) -> Found | None:
    """The image that has the content already, or was created for it: the published, the newest first."""
    whole = [one for one in there if one.is_whole and one.status == "active"]
    ranked = sorted(whole, key=lambda one: (not one.is_unfinished, not one.hidden, one.created))
    if ranked:
        return ranked[-1]
    return next((one for one in there if one.status == "queued" and one.name.endswith(UPLOADING)), None)


def _is_as_wanted(new: Found, wanted: Wanted) -> bool:
    return (
        new.name == wanted.name
        and not new.hidden
        and new.visibility == wanted.visibility
        and wanted.properties.items() <= new.properties.items()
    )


def _old(there: Sequence[Found], new: Found | None) -> list[Found]:
    """The earlier images, the newest first."""
    old = [one for one in there if one != new and not one.is_unfinished]
    return sorted(old, key=lambda one: one.created, reverse=True)


def _previous(wanted: Wanted, old: Sequence[Found]) -> list[Action]:
    """Hide what others would find by the name, or rename the newest of it; then delete what is not kept."""
    kept = old if wanted.keep is None else old[: wanted.keep - 1]
    renamed = kept[0] if kept and wanted.previous == "rename" else None
    actions: list[Action] = [Hide(one.id) for one in kept if one != renamed and not one.hidden]
    if renamed and (renamed.hidden or renamed.name != f"{wanted.name}{PREVIOUS}"):
        actions.append(Rename(renamed.id, f"{wanted.name}{PREVIOUS}"))
    gone = [one for one in old if one not in kept]
    # Hidden first: a server may use it, and it then stays.
    actions += [Hide(one.id) for one in gone if not one.hidden]
    return [*actions, *(Retire(one.id) for one in gone)]
