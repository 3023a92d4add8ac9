"""Worker images that are broken in a way that a race could hide, and the words of a proof that sees it."""

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
    """A text of a file that becomes another one, or a file that goes; all of it in the image's root."""

    path: str
    old: str  # "": the file goes
    new: str
    said: str  # a part of what the proof has to say


WAYS: Mapping[str, Break] = MappingProxyType(
    {
        "the watch is disabled": Break(
            # (The name of the test has the host's before that of the unit.)
            f"{WANTS}/worker-life.service",
            "",
            "",
            "-worker-life.service]",
        ),
        "START has no guard of the image's": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            'found = ["MY.NODE_IS_HEALTHY =?= True"]',
            "found = []",
            "test_start_is_the_image_s_and_the_user_s",
        ),
        "the token's file is open to all": Break(
            f"{RUNTIME}/configuration/configure.py",
            "files.put(kind.token_file, secret, 0o600)",
            "files.put(kind.token_file, secret, 0o644)",
            "test_token_is_where_only_root_reads_it",
        ),
        "START is the user's alone": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            'return " && ".join("( %s )" % part for part in parts)',
            "return wanted",
            "test_start_is_the_image_s_and_the_user_s",
        ),
        "the group is another": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            "found[key.advertise] = quote(values[key.setting])\n    if requirements",
            'found[key.advertise] = quote(values[key.setting] + "s")\n    if requirements',
            "test_what_it_is_found_by_is_carried_exactly",
        ),
        "nothing keeps jobs from the metadata service": Break(
            "usr/lib/systemd/system/worker-metadata-guard.service",
            "ExecStart=",
            "ExecStart=/bin/true ",
            "test_only_root_reaches_the_metadata_service",
        ),
    }
)


@contextmanager
def broken(image: Path, way: str, folder: Path) -> Iterator[Path]:
    """A copy of the image that is broken so, while the block runs."""
    made = folder / "broken.qcow2"
    command = [sys.executable, "-m", "tests.broken", str(image), str(made), way]
    sandbox.run_module(command, b"", Silent())
    yield made
    made.unlink()


def make(image: Path, made: Path, way: Break) -> None:
    disk, root = made.with_suffix(".raw"), made.with_suffix(".root")
    qemu_img.to_raw(image, disk)
    root.mkdir()
    mount_root(disk, root)
    path = root / way.path
    if way.old:
        text = path.read_text()
        assert text.count(way.old) == 1, f"{way.path} has {way.old!r} {text.count(way.old)} times"
        path.write_text(text.replace(way.old, way.new))
    else:
        path.unlink()
    run.call(["umount", str(root)])
    root.rmdir()
    qemu_img.to_qcow2(disk, made)
    disk.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), WAYS[sys.argv[3]])
    print(json.dumps({"event": "result"}))
