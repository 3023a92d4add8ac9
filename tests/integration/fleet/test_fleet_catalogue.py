"""`fleet launch --catalogue`: an image of a catalogue is found in Glance, or uploaded.

The disk has no system: Nova's fake driver starts none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bakery.catalogue import streams
from bakery.machines.network import GATEWAY, Network
from bakery.runtime import digest
from bakery.runtime.conditions import Condition, wait
from provisioner.process import run
from tests.conftest import command
from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import argv_of, of, servers

pytestmark = pytest.mark.full  # as test_fleet.py
PORT = 8087


def disk(folder: Path, gigabytes: int, kind: str = "osg") -> Path:
    """An empty disk with the manifest of an image."""
    made = folder / f"{kind}-{gigabytes}.qcow2"
    run.call(["qemu-img", "create", "-q", "-f", "qcow2", str(made), f"{gigabytes}G"])
    about = {"id": digest.of(made), "kind": kind, "base": "debian13", "sha256": digest.of(made)}
    made.with_suffix(".json").write_text(json.dumps({**about, "proof": {"offline": {}}}))
    return made


def published(image: Path, folder: Path, name: str) -> None:
    target = ("--to", folder.as_uri(), "--require-proof", "offline", "--name", name)
    done = command("worker-bakery", "publish", str(image), *target)
    assert done.status == 0, done.err


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """With an image of two versions, and one for other workers."""
    folder = tmp_path / "catalogue"
    for image, name in ((disk(tmp_path, 4), "osg"), (disk(tmp_path, 5), "osg")):
        published(image, folder, name)
    published(disk(tmp_path, 6, "prominence"), folder, "prominence")
    return folder


@contextmanager
def served(folder: Path, network: Network) -> Iterator[str]:
    """The URL of the folder on a web server of the network."""
    argv = [sys.executable, "-u", "-m", "http.server", str(PORT), "--bind", GATEWAY]
    log = folder.parent / "http.out"
    with run.background(network.argv(argv), log=log, cwd=folder):
        wait(
            Condition("the web server listens", lambda: log.exists() and b"Serving" in log.read_bytes(), 60)
        )
        yield f"http://{GATEWAY}:{PORT}"


def images(plane: Plane) -> dict[str, dict[str, Any]]:
    """Our images in the project `site`, hidden ones too, by id."""
    script = """
cloud = connect("site")
found = [one for hidden in ("false", "true") for one in cloud.image.images(os_hidden=hidden)]
names = ("name", "status", "visibility", "min_disk", "properties", "is_hidden", "owner")
print(json.dumps({one.id: {name: one[name] for name in names} for one in found
                  if one.owner == cloud.current_project_id}))
"""
    found: dict[str, dict[str, Any]] = plane.python(script)
    return found


def asked(token: Path, reference: str, *more: str, flavor: str = "m3.tiny") -> list[str]:
    """A launch of the image of a catalogue."""
    argv = [*argv_of(token, "--count", "1", group="catalogue"), *more]
    argv[argv.index("--image") : argv.index("--image") + 2] = ["--catalogue", reference]
    argv[argv.index("--flavor") + 1] = flavor
    return argv


def image_of(plane: Plane, id: str) -> str:
    found: str = plane.python(
        'print(json.dumps(connect("site").compute.get_server(sys.argv[1]).image.id))', id
    )
    return found


def test_an_image_of_a_catalogue_is_uploaded_once(
    plane: Plane, network: Network, token: Path, catalogue: Path, tmp_path: Path
) -> None:
    before = images(plane)
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    with served(catalogue, network) as url:
        planned = of(plane.bakery(*asked(token, url, "--dry-run", "--json"), env=env))
        assert planned["image"] is None
        shown = plane.bakery(*asked(token, url, "--dry-run"), env=env)
        assert "Would upload osg-" in shown.err and "Nothing was made" in shown.err
        small = plane.bakery(*asked(token, url, flavor="tiny"), env=env)
        assert small.status == 2 and "has a disk of 1 GiB" in small.err
        assert images(plane) == before  # nothing was made
        made = of(plane.bakery(*asked(token, url, "--json"), env=env))
    [(id, image)] = [item for item in images(plane).items() if item[0] not in before]
    entry = streams.entries(
        json.loads((catalogue / streams.IMAGES).read_text()), streams.product("osg", "amd64")
    )[-1]
    assert made["image"] == id == image_of(plane, made["servers"][0]["id"])
    assert (image["name"], image["visibility"], image["min_disk"]) == (entry.pubname, "private", 5)
    assert image["properties"]["worker_bakery_sha256"] == entry.sha256 and not image["is_hidden"]
    assert not list((tmp_path / "cache" / "downloads").iterdir())

    again = of(plane.bakery(*asked(token, f"{catalogue.as_uri()}#osg", "--json"), env=env))
    assert again["image"] == id and set(images(plane)) == {*before, id}
    named = [*argv_of(token, "--count", "1", "--json", group="catalogue")]
    named[named.index("osg-debian13")] = entry.pubname
    assert of(plane.bakery(*named))["image"] == id
    deleted(plane)


def test_what_publish_has_uploaded_is_used(
    plane: Plane, token: Path, catalogue: Path, tmp_path: Path
) -> None:
    """Under another name, and hidden, as an earlier version of it is."""
    document = json.loads((catalogue / streams.IMAGES).read_text())
    old, new = streams.entries(document, streams.product("osg", "amd64"))
    ids = []
    for gigabytes in (4, 5):
        image = str(tmp_path / f"osg-{gigabytes}.qcow2")
        how = ("--name", "by-hand", "--require-proof", "offline", "--json")
        done = plane.bakery("publish", image, "--to", "openstack:site", *how)
        ids.append(of(done)["location"])
    there = images(plane)
    assert there[ids[0]]["is_hidden"]
    for entry, id in zip((old, new), ids, strict=True):
        reference = f"{catalogue.as_uri()}#osg@{entry.version}"
        assert of(plane.bakery(*asked(token, reference, "--json")))["image"] == id
    assert images(plane) == there
    deleted(plane)


def test_what_is_not_as_the_catalogue_says_is_not_used(
    plane: Plane, token: Path, catalogue: Path, tmp_path: Path
) -> None:
    before, url = images(plane), catalogue.as_uri()
    other = plane.bakery(*asked(token, f"{url}#prominence"))
    assert other.status == 2 and "is for prominence workers" in other.err
    published(disk(tmp_path, 7), catalogue, "damaged")
    [path] = catalogue.glob("images/damaged/amd64/*.qcow2")
    path.write_bytes(path.read_bytes()[::-1])
    wrong = plane.bakery(*asked(token, f"{url}#damaged"))
    assert wrong.status != 0 and "has the sha256" in wrong.err
    assert images(plane) == before
    assert not [name for name in servers(plane) if name.startswith("catalogue-")]


def deleted(plane: Plane) -> None:
    argv = ("fleet", "delete", "--cloud", "site", "--group", "catalogue", "--yes", "--force", "--json")
    of(plane.bakery(*argv))
