"""Folders of the host that HTCondor or its jobs cannot enter."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from worker_runtime.container import folders

NOBODY = "nobody"


def test_the_folders_above_a_path() -> None:
    assert list(folders.above("/home/prominence/condor")) == ["/", "/home", "/home/prominence"]


# Nothing else in this tier needs root, so that everybody can run it; CI does as root.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try as somebody else")
def test_a_folder_that_is_closed_is_named_with_what_to_do(open_folder: Path) -> None:
    volume = open_folder / "volume"
    execute = volume / "prominence/condor"
    execute.mkdir(parents=True)
    os.chown(volume, 4711, 0)
    folders.check(str(execute), NOBODY)
    volume.chmod(0o700)
    with pytest.raises(PermissionError) as refused:
        folders.check(str(execute), NOBODY)
    said = refused.value.strerror
    assert said == (
        "HTCondor and its jobs cannot enter it (mode 0700, owner 4711); "
        "run chmod 755 on what is mounted there"
    )
    assert refused.value.filename == str(volume)
    # The last one is HTCondor's own, which closes it if it wants.
    volume.chmod(0o755)
    execute.chmod(0o700)
    folders.check(str(execute), NOBODY)
