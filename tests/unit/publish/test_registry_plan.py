"""What is done in a registry: tags, indexes of architectures, old images, and what refers to an image."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bakery.description import files
from bakery.output.oci import layout
from bakery.publish.image import Image, System
from bakery.publish.registry import referrers, skopeo
from bakery.publish.registry.plan import Delete, Part, Push, PushIndex, Tag, plan
from provisioner.errors import CommandFailed

AMD, ARM = Part("a" * 64, 700, "amd64"), Part("b" * 64, 701, "arm64")
OLD_AMD = Part("c" * 64, 702, "amd64")
ID, OLD_ID = "0123456789ab", "ba9876543210"
WANTED = (ID, "latest")


def there(*tags: Tag) -> dict[str, Tag]:
    return {tag.name: tag for tag in tags}


def one(name: str, part: Part, created: str = "") -> Tag:
    return Tag(name, part.digest, created, (part,))


def index(name: str, *parts: Part) -> Tag:
    return Tag(name, "d" * 64, "", parts)


def test_an_image_gets_its_tags_and_a_second_publication_does_nothing() -> None:
    assert plan(WANTED, AMD, {}, None) == (Push(ID), Push("latest"))
    assert plan(WANTED, AMD, there(one(ID, AMD), one("latest", AMD)), None) == ()


def test_an_image_of_the_same_architecture_is_replaced() -> None:
    assert plan(WANTED, AMD, there(one("latest", OLD_AMD)), None) == (Push(ID), Push("latest"))


def test_a_tag_of_another_architecture_names_an_index_of_both() -> None:
    both = PushIndex("latest", (AMD, ARM))
    assert plan(WANTED, ARM, there(one("latest", AMD)), None) == (Push(ID), both)
    assert plan(WANTED, AMD, there(one("latest", ARM)), None) == (Push(ID), both)
    assert str(both) == "let latest name the images of amd64, arm64"


def test_an_index_keeps_the_others_and_gets_the_new_one_in_place_of_its_own() -> None:
    before = there(index("latest", OLD_AMD, ARM))
    assert plan(WANTED, AMD, before, None) == (Push(ID), PushIndex("latest", (AMD, ARM)))
    assert plan(WANTED, AMD, there(one(ID, AMD), index("latest", AMD, ARM)), None) == ()


def test_an_index_of_a_tag_of_ones_own_lists_what_is_uploaded_before() -> None:
    actions = plan(("v1",), AMD, there(one("v1", ARM)), None)
    assert actions == (Push(""), PushIndex("v1", (AMD, ARM)))
    assert str(actions[0]) == "upload the image"


def test_what_an_index_lists_is_not_deleted() -> None:
    old_arm = one(OLD_ID, ARM, "2026-01-01")
    before = there(old_arm, index("latest", OLD_AMD, ARM))
    assert plan(WANTED, AMD, before, 1) == (Push(ID), PushIndex("latest", (AMD, ARM)))
    older = one("0" * 12, OLD_AMD, "2025-01-01")
    assert plan(WANTED, AMD, there(older, *before.values()), 1)[-1] == Delete("0" * 12, OLD_AMD.digest)
    # The same, where nothing has to be done to the index.
    same = there(one(ID, AMD), old_arm, index("latest", AMD, ARM))
    assert plan(WANTED, AMD, same, 1) == ()


SYSTEM = System("debian", "13", "trixie", "debian", "debian", (), "x86_64")
MANIFEST: dict[str, Any] = {
    "id": "e" * 64, "kind": "osg", "base": "debian13", "sha256": "f" * 64,
    "made": "2026-11-29T18:22:44+00:00",
    "installed": {"system": "apt", "release": {"ID": "debian", "VERSION_ID": "13"}, "packages": []},
}  # fmt: skip


def image(**more: Any) -> Image:
    manifest = {**MANIFEST, **more}
    fields = {name: manifest[name] for name in ("id", "kind", "base", "made", "sha256")}
    return Image(
        Path("x.tar"), "osg-debian13", "oci", size=1, levels=(), system=SYSTEM, manifest=manifest, **fields
    )


def subject() -> dict[str, Any]:
    return {"mediaType": layout.MANIFEST, "digest": f"sha256:{AMD.digest}", "size": AMD.size}


def test_the_sboms_of_an_image_are_artifacts_whose_subject_is_its_manifest(tmp_path: Path) -> None:
    found = referrers.sboms(image(), subject())
    assert [artifact.title for artifact in found] == ["the SBOM (CycloneDX)", "the SBOM (SPDX)"]
    for artifact, media_type in zip(found, referrers.MEDIA_TYPES.values(), strict=True):
        manifest = json.loads(artifact.manifest)
        assert manifest["subject"] == subject()
        assert (manifest["artifactType"], manifest["layers"][0]["mediaType"]) == (media_type, media_type)
        assert manifest["annotations"]["org.opencontainers.image.created"] == "2026-11-29T18:22:44Z"
        layout.write_archive(artifact.entries(), tmp_path / "artifact.tar")
        with tarfile.open(tmp_path / "artifact.tar") as members:
            blobs = [name for name in members.getnames() if name.startswith("blobs/")]
        assert len(blobs) == 3
    # The same for the same image, so that a second publication finds it.
    assert [one.digest for one in referrers.sboms(image(), subject())] == [one.digest for one in found]
    bom = json.loads(found[0].content)
    assert bom["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": AMD.digest}]


def test_an_image_whose_packages_are_unknown_has_no_sbom() -> None:
    assert referrers.sboms(image(installed=None), subject()) == ()


def test_the_index_of_referrers_keeps_what_others_have_added() -> None:
    new = referrers.sboms(image(), subject())
    signature = {"artifactType": "application/vnd.dev.cosign", "digest": "sha256:1", "size": 1}
    old = {**new[0].descriptor, "digest": "sha256:2"}
    merged = referrers.merged([old, signature], new)
    assert merged == [signature, *(artifact.descriptor for artifact in new)]
    assert referrers.listed(layout.index_bytes(merged)) == merged


@pytest.mark.parametrize(("name", "such"), [("sha256-" + "a" * 64, True), ("latest", False), (ID, False)])
def test_tags_that_are_no_images(name: str, such: bool) -> None:
    assert referrers.is_such_a_tag(name) is such
    assert set(referrers.MEDIA_TYPES) == {files.CYCLONEDX, files.SPDX}


def test_a_skopeo_that_is_too_old_is_named() -> None:
    said = 'level=fatal msg="Manifest list must be converted to type \\"x\\" to be written, but we cannot"'
    cause = skopeo._cause("registry/name", CommandFailed("skopeo copy", 1, said))
    assert isinstance(cause, skopeo.TooOld)
    assert "Install skopeo 1.14 or later" in str(cause)
