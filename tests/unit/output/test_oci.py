"""Formats, the plan of a container, and OCI layouts."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from bakery.bake import lookup
from bakery.bake.options import Options
from bakery.image import bases, recipe, udocker
from bakery.output import formats
from bakery.output.formats import FORMATS
from bakery.output.oci import config, layout, root
from bakery.output.oci.config import About
from bakery.output.oci.layer import Layer
from bakery.store.store import Store
from provisioner.actions import Put, Run
from provisioner.errors import BadInput
from provisioner.events import Silent
from provisioner.plan import Plan

BASE = bases.find("debian13")


def planned(kind: str = "prominence") -> Plan:
    return recipe.plan(BASE, kind, boots=False)


def made(folder: Path, content: bytes = b"a layer") -> Layer:
    path = folder / "layer.tar.gz"
    path.write_bytes(content)
    return Layer(path, hashlib.sha256(content).hexdigest(), "d" * 64, len(content))


def archive(folder: Path, name: str = "image.tar") -> Path:
    plan, layer = planned(), made(folder)
    image_config = config.config(plan, layer, About("x86_64", 1_700_000_000))
    layout.write_archive(layout.entries(image_config, layer, config.tag(plan)), folder / name)
    return folder / name


@pytest.mark.parametrize("kind", ["osg", "prominence"])
def test_container_and_machine_share_their_first_steps(kind: str) -> None:
    machine, container = recipe.plan(BASE, kind), planned(kind)
    same = {a.role for a, b in zip(machine.steps, container.steps, strict=False) if a.id == b.id}
    assert same == {"base", "condor"}
    roles = list(dict.fromkeys(step.role for step in container.steps))
    assert roles == ["base", "condor", "udocker", "container", f"{kind}_worker", "seal"]


@pytest.mark.parametrize("name", ["centos7", "almalinux9"])
def test_container_of_el_has_udocker_only_on_request(name: str) -> None:
    base = bases.find(name, "x86_64")
    plain, asked = (recipe.plan(base, "osg", optional=roles, boots=False) for roles in ((), ("udocker",)))
    assert "udocker" not in {step.role for step in plain.steps}
    assert [step.role for step in asked.steps].count("udocker") == 3
    script = " ".join(
        word for step in plain.steps for a in step.actions if isinstance(a, Run) for word in a.argv
    )
    assert not {"semanage", "setfiles"} & set(script.split())


def test_container_has_no_systemd_files_after_the_role_container() -> None:
    steps = list(planned().steps)
    after = steps[[step.role for step in steps].index("container") + 1 :]
    actions = [action for step in after for action in step.actions]
    assert not [a for a in actions if isinstance(a, Run) and a.argv[0] == "systemctl"]
    put = [a.path for a in actions if isinstance(a, Put)]
    assert "/usr/lib/worker-bakery/worker" in put
    assert not [path for path in put if path.startswith(("/usr/lib/systemd", "/usr/lib/tmpfiles.d"))]


def test_udocker_is_complete_and_has_its_licence() -> None:
    files = {file.path: file.data for file in udocker.files()}
    assert "/usr/lib/udocker/udocker/maincmd.py" in files
    assert "/usr/lib/udocker/udocker/engine/proot.py" in files
    assert b"Apache License" in files["/usr/lib/udocker/LICENSE"]
    assert all(path.endswith((".py", "LICENSE")) for path in files)


def test_unsupported_options_of_a_container_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot mount CVMFS"):
        recipe.plan(BASE, "osg", optional=["cvmfs"], boots=False)
    with pytest.raises(BadInput, match="does not support --verify boot"):
        lookup.bake(Options(format="oci", level="boot"), Store(tmp_path), Silent())
    (tmp_path / "there").mkdir()
    with pytest.raises(BadInput, match="already exists"):
        formats.check_output(FORMATS["oci"], tmp_path / "there")


def test_configuration(tmp_path: Path) -> None:
    image_config = config.config(planned(), made(tmp_path), About("x86_64", 0))
    assert (image_config["architecture"], image_config["os"], image_config["created"]) == (
        "amd64",
        "linux",
        "1970-01-01T00:00:00Z",
    )
    assert image_config["config"]["Entrypoint"] == ["/usr/lib/worker-bakery/worker", "run"]
    assert image_config["rootfs"]["diff_ids"] == ["sha256:" + "d" * 64]
    assert not any("TOKEN" in variable for variable in image_config["config"]["Env"])
    assert image_config["config"]["Labels"]["worker-bakery.plan"] == planned().id


def test_archive_is_reproducible_and_both_manifests_refer_to_the_same_blobs(
    tmp_path: Path,
) -> None:
    one, other = archive(tmp_path), archive(tmp_path, "other.tar")
    assert one.read_bytes() == other.read_bytes()
    layout.unpack(one, tmp_path / "layout")
    [index] = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    for blob in (tmp_path / "layout/blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    manifest = json.loads((tmp_path / "layout/blobs/sha256" / index["digest"][7:]).read_text())
    [docker] = json.loads((tmp_path / "layout/manifest.json").read_text())
    assert docker["Config"] == "blobs/sha256/" + manifest["config"]["digest"][7:]
    assert docker["Layers"] == ["blobs/sha256/" + manifest["layers"][0]["digest"][7:]]
    assert docker["RepoTags"] == [config.tag(planned())]


def test_invalid_and_damaged_archives_are_rejected(tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    with tarfile.open(other, "w"):
        pass
    assert root.is_archive(other)
    with pytest.raises(BadInput, match="not an archive of a container image"):
        root.open_archive(other, tmp_path / "a", tmp_path / "root")
    image = archive(tmp_path)
    image.write_bytes(image.read_bytes().replace(b"a layer", b"another"))
    (tmp_path / "b").mkdir()
    with pytest.raises(BadInput, match="is damaged"):
        root.open_archive(image, tmp_path / "b", tmp_path / "root")


def test_untrusted_archive_writes_only_to_the_folder(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar"
    with tarfile.open(bad, "w") as members:
        for name in ("../outside", "/tmp/outside", "blobs/sha256/../../../outside", "index.json"):
            members.addfile(tarfile.TarInfo(name))
    layout.unpack(bad, tmp_path / "layout")
    assert [path.name for path in (tmp_path / "layout").iterdir()] == ["index.json"]
    assert not (tmp_path / "outside").exists()


def test_layout_is_written_to_the_target(tmp_path: Path) -> None:
    formats.write_output(FORMATS["oci"], archive(tmp_path), tmp_path / "mine", Silent())
    assert (tmp_path / "mine/oci-layout").exists()
    formats.write_output(FORMATS["oci"], archive(tmp_path), tmp_path / "mine.docker.tar", Silent())
    assert (tmp_path / "mine.docker.tar").read_bytes() == archive(tmp_path).read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
