"""The container image, opened and started by buildah; tests/integration/docker has it in Docker."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.output.oci import layer
from provisioner.process import run
from tests.conftest import Folders, command

REQUIRED = ("PROMINENCE_CLOUD", "PROMINENCE_REGION", "PROMINENCE_NODE_GROUP", "PROMINENCE_COLLECTOR")


@dataclass(frozen=True)
class Buildah:
    """With a store of its own."""

    folder: Path

    def __call__(self, *argv: str, expect: tuple[int, ...] = (0,)) -> run.Completed:
        store = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        env = run.environment(TMPDIR=str(self.folder))
        return run.call(["buildah", *store, "--storage-driver=vfs", *argv], env=env, expect=expect)


@dataclass(frozen=True)
class Image:
    archive: Path
    name: str  # of buildah's container
    config: dict[str, Any]
    root: Path

    @property
    def entry(self) -> list[str]:
        return list(self.config["Entrypoint"])


@pytest.fixture(scope="module")
def archive(baked: dict[str, Any]) -> Path:
    done = command("bake-image", "--worker", "prominence", "--format", "oci", "--json")
    assert done.status == 0, done.err[-3000:]
    return Path(json.loads(done.out)["path"])


@pytest.fixture(scope="module")
def buildah(folders: Folders) -> Iterator[Buildah]:
    made = Buildah(folders("buildah"))
    yield made
    made("rm", "--all")
    made("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def image(archive: Path, buildah: Buildah) -> Image:
    pulled = buildah("pull", "-q", f"oci-archive:{archive}").stdout.strip()
    name = buildah("from", pulled).stdout.strip()
    told = json.loads(buildah("inspect", name).stdout)
    root = Path(buildah("mount", name).stdout.strip())
    return Image(archive, name, told["Docker"]["config"], root)


def test_a_layer_is_the_same_whenever_it_is_written_and_keeps_owners_and_capabilities(
    tmp_path: Path,
) -> None:
    digests = set()
    for day in (1_800_000_000, 1_900_000_000):
        root, work = tmp_path / f"root-{day}", tmp_path / f"work-{day}"
        for folder in (root / "usr/bin", root / "dev", work):
            folder.mkdir(parents=True)
        for path in (root / "usr/bin/b", root / "usr/bin/a", root / "dev/left"):
            path.write_text(path.name)
        os.chown(root / "usr/bin/a", 4711, 4712)
        run.call(["setcap", "cap_net_raw=ep", str(root / "usr/bin/b")])
        os.link(root / "usr/bin/a", root / "usr/bin/hard")
        for path in (root, *root.rglob("*")):
            os.utime(path, (day, day))
        made = layer.write(root, work, 1_700_000_000)
        digests.add((made.digest, made.diff_id))
        with tarfile.open(made.path) as members:
            found = {member.name: member for member in members}
        assert (found["./usr/bin/a"].uid, found["./usr/bin/a"].gid) == (4711, 4712)
        assert found["./usr/bin/hard"].islnk()
        assert "SCHILY.xattr.security.capability" in found["./usr/bin/b"].pax_headers
        assert "./dev" in found
        assert "./dev/left" not in found
    assert len(digests) == 1


def test_buildah_and_docker_find_what_they_look_for(image: Image, buildah: Buildah, tmp_path: Path) -> None:
    config = image.config
    assert config["Entrypoint"] == ["/usr/lib/worker-bakery/worker", "run"]
    assert set(config["Volumes"]) == {"/home", "/var/lib/condor", "/var/log/condor"}
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/lib/worker-bakery/worker", "alive"]
    assert config["Labels"]["org.opencontainers.image.version"] == image.archive.stem
    layout = tmp_path / "layout"
    done = command("bake-image", "--worker", "prominence", "--format", "oci", "-o", str(layout))
    assert done.status == 0, done.err
    tag = image.archive.stem.removeprefix("prominence-")
    # The same image, by each of the three ways.
    same = {
        buildah("pull", "-q", source).stdout.strip()
        for source in (
            f"docker-archive:{image.archive}",
            f"oci-archive:{image.archive}",
            f"oci:{layout}:{tag}",
        )
    }
    assert len(same) == 1
    assert (
        f"localhost/worker-bakery/prominence:{tag}"
        in buildah("images", "--format", "{{.Name}}:{{.Tag}}").stdout
    )


def test_buildah_starts_it_and_it_says_all_that_is_missing(image: Image, buildah: Buildah) -> None:
    entry = ["run", "--isolation", "chroot", image.name, "--", *image.entry]
    done = buildah(*entry, expect=(2,))
    said = done.stdout + done.stderr
    for name in REQUIRED:
        assert f"{name} is missing" in said
    assert "/etc/condor/tokens.d/token.jwt does not exist" in said
    assert "HTCondor was not started" in said


def test_root_is_told_that_it_is_no_ordinary_user(image: Image, buildah: Buildah) -> None:
    entry = ["run", "--isolation", "chroot", image.name, "--", *image.entry, "--user"]
    assert "does not run as root" in buildah(*entry, expect=(2,)).stderr
