"""What to do in a repository of a registry, from the tags that it has. Pure.

Without a tag in --to, an image gets the tag of its id and then `latest`. A registry shows a tag when all of
its image is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LATEST = "latest"
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Tag:
    """A tag that is there: the digest of its manifest, and when its image was made (ISO 8601)."""

    name: str
    digest: str
    created: str


@dataclass(frozen=True)
class Push:
    """Upload the layers that the registry lacks, and set the tag."""

    tag: str

    def __str__(self) -> str:
        return f"upload the image as {self.tag}"


@dataclass(frozen=True)
class Delete:
    tag: str

    def __str__(self) -> str:
        return f"delete the old image {self.tag}"


@dataclass(frozen=True)
class Attach:
    """Upload the documents that refer to the image."""

    tag: str

    def __str__(self) -> str:
        return "attach the SBOM to the image"


Action = Push | Delete | Attach


def tags(image_id: str, given: str) -> tuple[str, ...]:
    """Return the tags that the image gets, in the order in which they are set."""
    return (given,) if given else (image_id[:12], LATEST)


def is_of_an_id(tag: str) -> bool:
    """Whether a publication without a tag has set it."""
    return _ID.fullmatch(tag) is not None


def plan(
    wanted: Sequence[str], digest: str, there: Mapping[str, Tag], keep: int | None
) -> tuple[Action, ...]:
    """Plan the publication of the manifest with this digest.

    `keep` counts images with the tag of an id, the new one included. A registry deletes a manifest with all
    of its tags, so one with a tag that stays is not deleted.
    """
    pushed = [Push(tag) for tag in wanted if tag not in there or there[tag].digest != digest]
    if keep is None:
        return tuple(pushed)
    old = [tag for tag in there.values() if is_of_an_id(tag.name) and tag.name not in wanted]
    old.sort(key=lambda tag: (tag.created, tag.name), reverse=True)
    new_counts = any(is_of_an_id(tag) for tag in wanted)
    gone = old[keep - 1 if new_counts else keep :]
    stay = {digest} | {tag.digest for tag in there.values() if tag not in gone and tag.name not in wanted}
    return (*pushed, *(Delete(tag.name) for tag in gone if tag.digest not in stay))
