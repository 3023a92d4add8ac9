"""What root may do in a container, from the files of /proc and /dev."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bakery.runtime import privileges
from provisioner.errors import MissingHere

# proc_pid_status(5) in Docker's default, and in a privileged container.
LIMITED = "Name:\tpython3\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
ALL = "Name:\tpython3\nCapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\n"


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def obstacle(folder: Path, status: str, *, loop: bool = True) -> str:
    (folder / "status").write_text(status)
    if loop:
        (folder / "loop-control").touch()
    return privileges.mount_obstacle(folder / "status", folder / "loop-control")


def test_root_with_all_capabilities_may_mount(root: None, tmp_path: Path) -> None:
    assert obstacle(tmp_path, ALL) == ""


def test_root_of_an_unprivileged_container_may_not(root: None, tmp_path: Path) -> None:
    assert "no CAP_SYS_ADMIN" in obstacle(tmp_path, LIMITED)


def test_no_line_of_capabilities_is_none(root: None, tmp_path: Path) -> None:
    assert "no CAP_SYS_ADMIN" in obstacle(tmp_path, "Name:\tpython3\n")


def test_a_container_without_loop_devices_cannot_mount(root: None, tmp_path: Path) -> None:
    """As with `--cap-add SYS_ADMIN`."""
    found = obstacle(tmp_path, ALL, loop=False)
    assert "loop-control cannot be opened (No such file or directory)" in found
    assert "--privileged" in found


def test_other_users_may_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert obstacle(tmp_path, ALL) == "mounting a disk requires root."


@pytest.mark.parametrize(("user", "told"), [(0, "--privileged"), (1000, "Run the same command")])
def test_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, user: int, told: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(privileges, "mount_obstacle", lambda: "it is forbidden.")
    with pytest.raises(MissingHere, match=told):
        privileges.require_root()


def test_nothing_is_raised_if_nothing_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "mount_obstacle", lambda: "")
    privileges.require_root()
