"""The images of examples/site/several.toml, baked by the command: Debian, EL with CVMFS and NVIDIA, OSPool.

What stands in: an EL stand-in for the disk image of the site, with packages made here in the place of
CVMFS's and NVIDIA's; a script for the Pelican client. debian12 is the vendor's image, which is downloaded,
and is left out.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.image import openpgp
from bakery.output.oci.root import open_archive
from bakery.runtime import digest, qemu_img
from bakery.store.store import Store
from provisioner.process import run
from tests.conftest import Folders, command, mounted
from tests.integration import el_standin, repository
from tests.integration.bake.test_baked_definition import EXAMPLE
from tests.integration.bake.test_baked_site import inside, site_store
from tests.integration.el_standin import NOTES, Standin

# Four images, and an EL stand-in of its own. test_reading.py shows in each run that all have plans.
pytestmark = pytest.mark.full

LABELS = ("site-osg", "site-prominence", "site-el9", "site-ospool")
MIRROR = 'epel = "http://mirror.site.example.edu/epel/9/Everything/x86_64/"'
SITE = "http://packages.site.example.edu"
POOL = "cm.site.example.edu"


def golden(standin: Standin, path: Path) -> str:
    """The disk image of the site, an AlmaLinux 9; its digest."""
    disk = path.with_suffix(".raw")
    run.call(["cp", "--sparse=always", str(standin.disk), str(disk)])
    with el_standin.mounted(disk, path.with_suffix(".root")) as root:
        el_standin.become(root, "9", standin)
    qemu_img.to_qcow2(disk, path)
    disk.unlink()
    return digest.of(path)


def changed(text: str, changes: dict[str, str]) -> str:
    """The text of the example with these changes, each of which must have an effect."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def copied(folder: Path, standin: Standin, el: str, debian: str, key: str) -> Path:
    """The example with the servers `el` and `debian` of this machine, and their keys."""
    shutil.copytree(EXAMPLE, folder)
    (folder / "keys" / "tools.asc").write_text(key)
    shutil.copy(standin.key("epel"), folder / "keys" / "epel.asc")
    shutil.copy(standin.key("htcondor"), folder / "keys" / "htcondor.asc")
    urls = standin.urls("9", el) | {
        "cernvm": f"{el}/cernvm/",
        "nvidia": f"{el}/nvidia/",
        "site": f"{el}/extras/",
    }
    [vendor] = openpgp.fingerprints(standin.key("vendor").read_bytes())
    sha256 = golden(standin, folder / "bases" / "golden-el9.qcow2")
    keys = {"epel": "epel", "htcondor": "htcondor", "cernvm": "epel", "nvidia": "epel"}
    definition = folder / "several.toml"
    text = re.sub('(?m)^(sha256|fingerprint) = "([^"]*)"', r'\1 = "of \1"', definition.read_text())
    text = changed(
        text,
        {
            '["debian13", "debian12"]': '["debian13"]',
            '"of sha256"': f'"{sha256}"',
            '"of fingerprint"': f'"{vendor}"',
            MIRROR: "".join(f'{name} = "{url}"\n' for name, url in urls.items()),
            'epel = "keys/site.asc"': "".join(
                f'{name} = "keys/{file}.asc"\n' for name, file in keys.items()
            ),
            f'key-url = "{SITE}/site.asc"': f'key-url = "{el}/vendor.asc"',
            'key = "keys/site.asc"': 'key = "keys/tools.asc"',
            "[image.roles.ospool]": f'[image.repository-urls]\ntools = "{debian}"\n\n[image.roles.ospool]',
        },
    )
    definition.write_text(text)
    return definition


@dataclass(frozen=True)
class Several:
    """The images by their labels, as the command tells of them."""

    images: dict[str, dict[str, Any]]

    def path(self, label: str) -> Path:
        return Path(self.images[label]["path"])


@pytest.fixture(scope="module")
def several(baked: dict[str, Any], store: Store, folders: Folders) -> Iterator[Several]:
    folder = folders("several")
    standin = el_standin.build(store, folders("standin"), optional=True)
    shutil.copy(standin.key("vendor"), standin.repositories / "vendor.asc")
    (folder / "tools").mkdir()
    for name in ("site-tool", "site-extra"):
        repository.package(folder / "tools", name, "", {f"usr/bin/{name}": ("#!/bin/sh\n", 0o755)})
    key = repository.suite(folder / "tools", "trixie", {"main": ["site-tool"], "contrib": ["site-extra"]})
    own = site_store(store, folder / "cache")
    with ExitStack() as stack:
        el = stack.enter_context(repository.served(standin.repositories))
        debian = stack.enter_context(repository.served(folder / "tools"))
        definition = copied(folder / "site", standin, el, debian, key)
        words = ("bake", str(definition), "--engine", "chroot", "--verify", "offline", "--json")
        done = command("worker-bakery", *words, env={"WORKER_BAKERY_CACHE": str(own.root)})
        images = {image["label"]: image for image in json.loads(done.out)["images"]}
        assert not {label: image["error"] for label, image in images.items() if "error" in image}
        yield Several(images)
    shutil.rmtree(own.root)  # of gigabytes; the bases are a link


def test_all_images_are_made_and_pass_the_site_s_test(several: Several) -> None:
    assert tuple(several.images) == LABELS
    for label, image in several.images.items():
        assert Path(image["path"]).parent.name == "images"
        assert "test_several.py" in image["proof"]["offline"]["tests"], label


def default_of(root: Path, name: str) -> str:
    keys = json.loads((root / "usr/lib/worker-bakery/keys.json").read_text())["keys"]
    [found] = [key["default"] for key in keys if key["key"] == name]
    return str(found)


@pytest.mark.parametrize(
    ("label", "key"), [("site-osg", "CentralManager"), ("site-prominence", "PROMINENCE_COLLECTOR")]
)
def test_the_debian_images(label: str, key: str, several: Several, folders: Folders) -> None:
    with mounted(several.path(label), folders(label)) as root:
        assert default_of(root, key) == POOL
        assert (root / "usr/local/share/ca-certificates/example-site.crt").exists()


def test_the_el_image_has_cvmfs_and_the_driver(several: Several, folders: Folders) -> None:
    with mounted(several.path("site-el9"), folders("site-el9")) as root:
        assert default_of(root, "CentralManager") == POOL
        names = ("cvmfs", "autofs", "dkms", "kernel-devel", "nvidia-driver", "tmux")
        rows = inside(root, "rpm", "-q", "--qf", "%{NAME}\n", *names)
        assert rows.split() == list(names)
        settings = (root / "etc/cvmfs/default.local").read_text().splitlines()
        assert settings == [
            "CVMFS_REPOSITORIES='atlas.cern.ch,cms.cern.ch'",
            "CVMFS_QUOTA_LIMIT='20000'",
            "CVMFS_HTTP_PROXY='http://squid.site.example.edu:3128'",
        ]
        assert inside(root, "systemctl", "is-enabled", "autofs.service") == "enabled"
        told = (root / NOTES[1:] / "told").read_text().splitlines()
        assert "dkms autoinstall -k 3.10.0-10" in told
        assert "update-ca-trust extract" in told
        defined = (root / "etc/yum.repos.d/site-site.repo").read_text()
        assert f"baseurl={SITE}/el9/\nenabled=1\ngpgcheck=1\n" in defined
        assert "exclude=condor*" in defined


def test_the_container_image_for_ospool_jobs(several: Several, folders: Folders) -> None:
    work = folders("site-ospool")
    root = work / "root"
    open_archive(several.path("site-ospool"), work, root)
    assert (root / "usr/libexec/worker-bakery/pelican/stash_plugin").read_text() == (
        EXAMPLE / "files/pelican"
    ).read_text()
    defined = (root / "etc/apt/sources.list.d/worker-tools.sources").read_text()
    assert f"URIs: {SITE}/debian\nSuites: trixie\nComponents: main contrib\n" in defined
    assert (root / "usr/bin/udocker").exists()
