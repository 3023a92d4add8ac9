"""The base that mkosi builds from packages: twice, as on two machines, with the same bytes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakery.imagediff import sandboxed
from bakery.rebuild import regions
from bakery.runtime import qemu_img
from bakery.store.store import Store, read_manifest
from provisioner.events import Silent
from provisioner.process import run
from tests.conftest import BASE, Folders
from tests.integration.rebuild import another_clock

# As a bake does it that does not find the base in its cache.
BUILD = """\
import sys
from pathlib import Path
from bakery.image import bases
from bakery.runtime import mirror
from bakery.sources import base_image
from bakery.store.store import Store, work_folder
from provisioner.events import JsonLines
store, base = Store(Path(sys.argv[1])), bases.find(bases.DEFAULT)
sources = base_image.SourceOptions(mirror.find())
with work_folder(store) as work:
    with base_image.provide(base, store, sources, work, JsonLines(sys.stderr), rebuild=False):
        pass
"""
# mkosi passes these to apt, dpkg and systemd-repart.
MKOSI = """\
#!/bin/sh
[ "$1" != --version ] || exec {mkosi} "$@"
exec {mkosi} {settings} "$@"
"""


def build(cache: Path, prefix: Sequence[str], env: Mapping[str, str]) -> Store:
    argv = [*prefix, sys.executable, "-P", "-c", BUILD, str(cache)]
    run.call(argv, env={**run.inherited(), **env})
    return Store(cache)


def cache_with_packages(store: Store, cache: Path) -> Path:
    """The downloaded packages only: with or without them, a base is the same."""
    packages = store.packages("trixie") / "mkosi"
    if packages.exists():
        shutil.copytree(packages, Store(cache).packages("trixie") / "mkosi")
    return cache


def later(folder: Path) -> dict[str, str]:
    """A clock that is 400 days fast, for the programs of this machine that mkosi starts."""
    mkosi = shutil.which("mkosi")
    settings = {**another_clock.SETTINGS, "LD_PRELOAD": str(another_clock.library())}
    words = " ".join(f"--environment={name}={value}" for name, value in settings.items())
    (folder / "mkosi").write_text(MKOSI.format(mkosi=mkosi, settings=words))
    (folder / "mkosi").chmod(0o755)
    return {"PATH": f"{folder}:{run.inherited()['PATH']}"}


def differences(a: Store, b: Store, folder: Path) -> list[str]:
    """Files that differ, and where on the raw disks."""
    compared = sandboxed.compare(a.base(BASE.id), b.base(BASE.id), a, Silent())
    disks = folder / "a.raw", folder / "b.raw"
    for store, disk in zip((a, b), disks, strict=True):
        qemu_img.to_raw(store.base(BASE.id), disk)
    return [*(one.name for one in compared.differences), *regions.differing(*disks)]


def manifest(store: Store) -> dict[str, Any]:
    found = read_manifest(store.base(BASE.id))
    assert found
    return dict(found)


@pytest.mark.full
def test_two_builds_of_the_base_have_the_same_bytes(
    root_only: None, store: Store, folders: Folders
) -> None:
    """Other: folder, temporary folder, day, umask, locale, time zone, number of processors."""
    here = build(cache_with_packages(store, folders("here") / "cache"), (), {})
    place = {"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Auckland", "TMPDIR": str(folders("temporary"))}
    there = build(
        cache_with_packages(store, folders("there") / "another cache"),
        ("sh", "-c", 'umask 077; exec taskset -c 0 "$@"', "sh"),
        {**place, **later(folders("later"))},
    )
    same = manifest(here)["sha256"] == manifest(there)["sha256"]
    assert same, json.dumps(differences(here, there, folders("raw")), indent=1)
