"""worker-bakery outdated for images without a manifest: their package database is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import command

KEYRINGS = Path("/usr/share/keyrings")
STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2-1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def root_of_a_debian(folder: Path) -> Path:
    """A root directory with an old bash."""
    root = folder / "root"
    for name in ("etc/apt/sources.list.d", "usr/lib", "usr/share/keyrings", "var/lib/dpkg"):
        (root / name).mkdir(parents=True)
    (root / "usr/lib/os-release").write_text("ID=debian\nVERSION_CODENAME=trixie\n")
    (root / "var/lib/dpkg/status").write_text(STATUS)
    for keyring in KEYRINGS.glob("debian-archive-keyring.*"):
        shutil.copyfile(keyring, root / "usr/share/keyrings" / keyring.name)
    return root


def test_a_root_directory(tmp_path: Path) -> None:
    root = root_of_a_debian(tmp_path)
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    done = command("worker-bakery", "outdated", "--json", str(root), env=env)
    assert done.status == 10, done.err
    [image] = json.loads(done.out)["images"]
    [update] = image["updates"]
    assert (update["name"], update["installed"], update["repository"]) == ("bash", "5.2-1", "debian trixie")
    # Nothing is written beside an image that is not the cache's.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "root"]


def test_a_disk_without_a_manifest(baked: dict[str, Any], tmp_path: Path) -> None:
    disk = tmp_path / "worker.qcow2"
    shutil.copyfile(baked["path"], disk)
    done = command("worker-bakery", "outdated", "--json", str(disk))
    assert done.status in (0, 10), done.err  # whether Debian has updates now is not known here
    [image] = json.loads(done.out)["images"]
    assert image["state"] in ("current", "outdated")
    assert image["failed"] == {}


def test_a_mirror_that_does_not_answer(tmp_path: Path) -> None:
    root = root_of_a_debian(tmp_path)
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    done = command("worker-bakery", "outdated", str(root), "--mirror", "http://127.0.0.1:9/debian", env=env)
    assert done.status == 5
    assert "Cannot ask the repository debian trixie of root. Cannot read http://127.0.0.1:9/" in done.err
    assert "root: not asked" in done.out


def test_a_folder_and_a_file_that_are_no_image(tmp_path: Path) -> None:
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    (tmp_path / "folder").mkdir()
    (tmp_path / "worker.toml").write_text('base = "debian13"\n')
    done = command("worker-bakery", "outdated", str(tmp_path / "folder"), env=env)
    assert done.status == 2
    assert f"{tmp_path}/folder has no package database of dpkg or rpm." in done.err
    done = command("worker-bakery", "outdated", str(tmp_path / "worker.toml"), env=env)
    assert done.status == 2
    assert f"Cannot mount {tmp_path}/worker.toml. The image has no partition table." in done.err


def test_no_such_image(tmp_path: Path) -> None:
    done = command("worker-bakery", "outdated", "nothing", env={"WORKER_BAKERY_CACHE": str(tmp_path)})
    assert done.status == 2
    assert "There is no image nothing." in done.err
