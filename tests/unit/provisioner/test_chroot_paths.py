"""Paths of the guest never resolve to a path outside of it."""

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
def test_symbolic_links_are_resolved_inside_the_guest(root: Path, path: str, found: str) -> None:
    assert inside(root, path) == root / found
