"""What to do in a repository of a registry, from the tags that it has. Pure.

Without a tag in --to, an image gets the tag of its id and then `latest`. A registry shows a tag when all of
its image is there. (OCI image-spec 1.1, image-index.md: one manifest for each platform.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LATEST = "latest"
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Part:
    """A manifest in an index, or alone: its digest (hexadecimal), size in bytes, and platform."""

    digest: str
    size: int
    architecture: str  # as in Go and Docker: amd64, arm64
    os: str = "linux"

    @property
    def platform(self) -> tuple[str, str]:
        return self.os, self.architecture


@dataclass(frozen=True)
class Tag:
    """A tag that is there: the digest of its manifest or index, and when its image was made (ISO 8601).

    `parts` are the manifests of an index; of a manifest, itself.
    """

    name: str
    digest: str
    created: str
    parts: tuple[Part, ...] = ()

    @property
    def is_index(self) -> bool:
        return [part.digest for part in self.parts] != [self.digest]


@dataclass(frozen=True)
class Push:
    """Upload the layers that the registry lacks, and set the tag; without a tag, upload only."""

    tag: str

    def __str__(self) -> str:
        return f"upload the image as {self.tag}" if self.tag else "upload the image"


@dataclass(frozen=True)
class PushIndex:
    """Let the tag name an index of these manifests, which are there."""

    tag: str
    parts: tuple[Part, ...]

    def __str__(self) -> str:
        named = ", ".join(part.architecture for part in self.parts)
        return f"let {self.tag} name the images of {named}"


@dataclass(frozen=True)
class Delete:
    tag: str
    digest: str = ""

    def __str__(self) -> str:
        return f"delete the old image {self.tag}"


Action = Push | PushIndex | Delete


def tags(image_id: str, given: str) -> tuple[str, ...]:
    """Return the tags that the image gets, in the order in which they are set."""
    return (given,) if given else (image_id[:12], LATEST)


def is_of_an_id(tag: str) -> bool:
    """Whether a publication without a tag has set it."""
    return _ID.fullmatch(tag) is not None


def plan(
    wanted: Sequence[str], image: Part, there: Mapping[str, Tag], keep: int | None
) -> tuple[Action, ...]:
    """Plan the publication of this manifest.

    A tag that names an image of another architecture names an index of both afterwards.
    `keep` counts images with the tag of an id, the new one included. A registry deletes a manifest with all
    of its tags, so one with a tag that stays, or in an index that stays, is not deleted.
    """
    set_tags = tuple(action for name in wanted for action in _set(name, image, there))
    uploaded = any(isinstance(action, Push) for action in set_tags) or any(
        image.digest == tag.digest for tag in there.values()
    )
    indexes = any(isinstance(action, PushIndex) for action in set_tags)
    pushed = (Push(""), *set_tags) if indexes and not uploaded else set_tags
    if keep is None:
        return pushed
    old = [tag for tag in there.values() if is_of_an_id(tag.name) and tag.name not in wanted]
    old.sort(key=lambda tag: (tag.created, tag.name), reverse=True)
    new_counts = any(is_of_an_id(tag) for tag in wanted)
    gone = old[keep - 1 if new_counts else keep :]
    stay = {image.digest, *_named(set_tags)}
    stay |= {
        one for tag in there.values() if tag not in gone and tag.name not in wanted for one in _all(tag)
    }
    unchanged = [tag for name, tag in there.items() if name in wanted and not _set(name, image, there)]
    stay |= {one for tag in unchanged for one in _all(tag)}
    return (*pushed, *(Delete(tag.name, tag.digest) for tag in gone if tag.digest not in stay))


def _set(name: str, image: Part, there: Mapping[str, Tag]) -> tuple[Push | PushIndex, ...]:
    """What lets a tag name the image, beside those of other architectures."""
    tag = there.get(name)
    others = [part for part in tag.parts if part.platform != image.platform] if tag else []
    if not tag or not others:
        return () if tag and tag.digest == image.digest else (Push(name),)
    if image in tag.parts:
        return ()
    parts = sorted([*others, image], key=lambda part: part.platform)
    return (PushIndex(name, tuple(parts)),)


def _named(actions: Sequence[Action]) -> set[str]:
    indexes = [action for action in actions if isinstance(action, PushIndex)]
    return {part.digest for index in indexes for part in index.parts}


def _all(tag: Tag) -> set[str]:
    return {tag.digest, *(part.digest for part in tag.parts)}
