"""The seed image, and writing private files."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import time
from pathlib import Path

import pycdlib
import pytest

from bakery.runtime import files
from bakery.userdata.delivery import nocloud
from provisioner.errors import BadInput, DiskFull

USER_DATA = "#!/bin/bash\necho é\n"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def seed(path: Path, user_data: str = USER_DATA) -> bytes:
    nocloud.write_seed(
        path,
        user_data=user_data,
        instance_id="i-1",
        hostname="w1",
        public_keys=["ssh-ed25519 AAAA a@b"],
    )
    return path.read_bytes()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_have_rock_ridge_and_joliet_names(tmp_path: Path) -> None:
    image = pycdlib.PyCdlib()
    image.open_fp(io.BytesIO(seed(tmp_path / "seed.iso")))
    for names in ("rr_path", "joliet_path"):
        read = {}
        for name in ("user-data", "meta-data"):
            out = io.BytesIO()
            image.get_file_from_iso_fp(out, **{names: f"/{name}"})
            read[name] = out.getvalue()
        assert read["user-data"] == USER_DATA.encode()
        assert json.loads(read["meta-data"]) == {
            "instance-id": "i-1",
            "local-hostname": "w1",
            "public-keys": ["ssh-ed25519 AAAA a@b"],
        }
    assert image.pvd.volume_identifier.strip() == b"cidata"
    image.close()


def test_seed_is_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = seed(tmp_path / "a.iso")
    monkeypatch.setattr(time, "time", lambda: 1_900_000_000.0)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    second = seed(tmp_path / "b.iso")
    monkeypatch.undo()
    time.tzset()
    assert first == second
    assert seed(tmp_path / "c.iso", "#!/bin/sh\n") != first


def test_time_of_pycdlib_is_restored(tmp_path: Path) -> None:
    seed(tmp_path / "a.iso")
    assert vars(pycdlib.pycdlib)["time"] is time


def test_seed_is_private(tmp_path: Path) -> None:
    seed(tmp_path / "a.iso")
    assert mode(tmp_path / "a.iso") == 0o600


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_private_file_is_0600_with_any_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "f"
    path.write_text("before")
    path.chmod(0o644)
    before = os.umask(umask)
    try:
        files.write_private(path, b"after")
    finally:
        os.umask(before)
    assert (mode(path), path.read_bytes()) == (0o600, b"after")
    assert names_in(tmp_path) == ["f"]


def test_private_file_is_0600_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    replace = Path.replace

    def look(part: Path, target: Path) -> Path:
        seen.append((mode(part), part.read_bytes(), target.exists()))
        return replace(part, target)

    opened = []
    real_open = os.open

    def watch(path: Path, flags: int, mode: int = 0o777) -> int:
        opened.append((flags & os.O_EXCL != 0, mode))
        return real_open(path, flags, mode)

    monkeypatch.setattr(Path, "replace", look)
    monkeypatch.setattr(os, "open", watch)
    files.write_private(tmp_path / "f", b"x")
    assert seen == [(0o600, b"x", False)]
    assert opened == [(True, 0o600)]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space"), KeyboardInterrupt()])
def test_failure_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_handle: int) -> None:
        raise error

    (tmp_path / "f").write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    expected = DiskFull if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        files.write_private(tmp_path / "f", b"new")
    assert names_in(tmp_path) == ["f"]
    assert (tmp_path / "f").read_text() == "old"


def test_devices_folders_and_links_are_not_replaced(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/null"), Path("/dev/stdout"), tmp_path, link, tmp_path / "pipe"):
        with pytest.raises(BadInput, match="not a regular file"):
            files.write_private(path, b"x")


def test_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        with pytest.raises(BadInput, match=f"Cannot write .*{folder}/f"):
            files.write_private(tmp_path / folder / "f", b"x")


def test_large_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert files.read_limited(tmp_path / "f", 5) == b"12345"
    with pytest.raises(BadInput, match="larger than 4 bytes"):
        files.read_limited(tmp_path / "f", 4)
    with pytest.raises(BadInput, match="Cannot read"):
        files.read_limited(tmp_path, 4)
