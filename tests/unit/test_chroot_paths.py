"""A path in the guest must never lead out of the guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.targets.chroot import inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "outside").symlink_to("/usr")
    (root / "up").symlink_to("../../..")
    return root


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/etc/passwd", "etc/passwd"),
        ("/bin/tool", "usr/bin/tool"),
        ("/outside/bin/tool", "usr/bin/tool"),
        ("/up/etc/passwd", "etc/passwd"),
        ("/up/bin/tool", "usr/bin/tool"),
    ],
)
def test_links_mean_what_they_mean_in_the_guest(root: Path, path: str, found: str) -> None:
    assert inside(root, path) == root / found
