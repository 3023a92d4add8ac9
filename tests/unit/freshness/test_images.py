"""The packages and repositories of an image, read from the files of its root directory."""

from __future__ import annotations

from pathlib import Path

from bakery.freshness import images, inventory
from bakery.freshness.lock import Package
from bakery.store.store import Store, commit

STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2-1

Package: tzdata
Status: hold ok installed
Architecture: all
Version: 2025b-1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def test_a_root_of_debian(tmp_path: Path) -> None:
    for name in ("etc/apt/sources.list.d", "usr/lib", "usr/share/keyrings", "var/lib/dpkg"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text('ID=debian\nVERSION_CODENAME="trixie"\n')
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    (tmp_path / "etc/apt/sources.list.d/worker-htcondor.sources").write_text("Types: deb\nURIs: http://h\n")
    (tmp_path / "usr/share/keyrings/a.pgp").write_bytes(b"\x99\x01")
    (tmp_path / "usr/share/keyrings/a.gpg").symlink_to("a.pgp")
    (tmp_path / "usr/share/keyrings/b.gpg").symlink_to("/etc/passwd")
    found = inventory.parse(images.rows(tmp_path))
    assert found
    assert (found.system, found.architecture) == ("apt", "amd64")
    assert found.packages == (Package("bash", "amd64", "5.2-1"), Package("tzdata", "all", "2025b-1"))
    assert found.release["VERSION_CODENAME"] == "trixie"
    assert found.files == {
        "/etc/apt/sources.list.d/worker-htcondor.sources": "Types: deb\nURIs: http://h\n"
    }
    keys = "/usr/share/keyrings"
    assert found.keys == {f"{keys}/a.pgp": b"\x99\x01", f"{keys}/a.gpg": b"\x99\x01"}


def test_images_of_the_store_without_a_lock_are_listed(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"x")
    commit(tmp_path / "disk", tmp_path / "cache/images/osg-a.qcow2", {"size": 1})
    [image] = images.of_store(Store(tmp_path / "cache"))
    assert (image.disk.stem, image.lock) == ("osg-a", None)
