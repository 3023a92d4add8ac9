"""Broken worker images whose defect a race could hide, and the message with which verification fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bakery.runtime import qemu_img, sandbox
from provisioner.disk.file_systems import mount_root
from provisioner.events import Silent
from provisioner.process import run

RUNTIME = "usr/lib/worker-bakery/worker_runtime"
WANTS = "etc/systemd/system/multi-user.target.wants"


@dataclass(frozen=True)
class Break:
    """A replacement in a file of the image's root, or the removal of the file."""

    path: str
    old: str  # "": remove the file
    new: str
    message: str  # a part of the expected failure message


DEFECTS: Mapping[str, Break] = MappingProxyType(
    {
        "the watch is disabled": Break(
            # The test's id ends with the unit, after the host.
            f"{WANTS}/worker-life.service",
            "",
            "",
            "-worker-life.service]",
        ),
        "START lacks the image's guard": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            'found = ["MY.NODE_IS_HEALTHY =?= True"]',
            "found = []",
            "test_start_is_the_conjunction_of_the_image_s_and_the_user_s",
        ),
        "the token's file is world-readable": Break(
            f"{RUNTIME}/configuration/configure.py",
            "files.put(kind.token_file, secret, 0o600)",
            "files.put(kind.token_file, secret, 0o644)",
            "test_token_file_is_readable_by_root_only",
        ),
        "START is only the user's": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            'return " && ".join("( %s )" % part for part in parts)',
            "return wanted",
            "test_start_is_the_conjunction_of_the_image_s_and_the_user_s",
        ),
        "the group name is wrong": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            "found[key.advertise] = quote(values[key.setting])\n    if requirements",
            'found[key.advertise] = quote(values[key.setting] + "s")\n    if requirements',
            "test_advertised_attributes_have_the_exact_values",
        ),
        "jobs can reach the metadata service": Break(
            "usr/lib/systemd/system/worker-metadata-guard.service",
            "ExecStart=",
            "ExecStart=/bin/true ",
            "test_metadata_service_is_blocked_for_all_but_root",
        ),
    }
)


@contextmanager
def broken(image: Path, defect: str, folder: Path) -> Iterator[Path]:
    """Yield a copy of the image with this defect; remove it after the block."""
    made = folder / "broken.qcow2"
    command = [sys.executable, "-m", "tests.broken", str(image), str(made), defect]
    sandbox.run_module(command, b"", Silent())
    yield made
    made.unlink()


def make(image: Path, made: Path, defect: Break) -> None:
    """Write a copy of the image with this defect. Requires a sandbox."""
    disk, root = made.with_suffix(".raw"), made.with_suffix(".root")
    qemu_img.to_raw(image, disk)
    root.mkdir()
    mount_root(disk, root)
    path = root / defect.path
    if defect.old:
        text = path.read_text()
        assert text.count(defect.old) == 1, (
            f"{defect.path} has {defect.old!r} {text.count(defect.old)} times"
        )
        path.write_text(text.replace(defect.old, defect.new))
    else:
        path.unlink()
    run.call(["umount", str(root)])
    root.rmdir()
    qemu_img.to_qcow2(disk, made)
    disk.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), DEFECTS[sys.argv[3]])
    print(json.dumps({"event": "result"}))
