"""`worker storage` on real disks, with the image's own blkid, mkfs and mount.

The disks are loop devices, which it would never take by itself: a test hands them over. It works
in a chroot of a baked image in a sandbox of its own, so that its mounts end with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from worker_runtime.jobs import storage

from provisioner.process.run import call, require, sandbox_argv
from tests.boot.test_guest_life import (
    booted,
    conf,
    macros,
    shell,
    slot,
    state,
    wait_for_startd,
    write,
)

GIB = 2**30
SIZE = 9 * GIB  # sparse
CONFIG = "/etc/condor/config.d/80-worker-storage.config"
# $1 root, $2 what to do before, $3 the driver. HTCondor's default place has little room.
SANDBOX = r"""
set -eu
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/run"
mount -t tmpfs -o size=64m tmpfs "$1/var/lib/condor"
eval "$2"
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" /usr/bin/python3 -IBc "$3"
"""
DRIVER = """
import json, os, pwd, subprocess, sys
sys.path.insert(0, "/usr/lib/worker-bakery")
from worker_runtime.jobs import storage
def run(*argv):
    return subprocess.check_output(argv).decode().strip()
disks = [storage.Disk(path, int(run("blockdev", "--getsize64", path))) for path in %(disks)r]
assert storage.list_disks
storage.list_disks = lambda: disks
status = storage.main()
%(then)s
seen = {"status": status, "config": open(storage.written_config(storage.CONFIG_NAME)).read().splitlines()[1:]}
seen["EXECUTE"] = folder = run("condor_config_val", "EXECUTE")
if os.path.isdir(folder):
    found = os.stat(folder)
    seen["owner"], seen["mode"] = pwd.getpwuid(found.st_uid).pw_name, found.st_mode & 0o7777
    seen["mount"] = run("findmnt", "-nro", "SOURCE,FSTYPE,OPTIONS", "-T", folder).split()
    seen["files"] = os.listdir(folder)
print(json.dumps(seen))
"""
ON_DISK = storage.DISK + "/" + storage.FOLDER


@dataclass(frozen=True)
class Outcome:
    seen: dict[str, Any]
    said: str

    @property
    def execute(self) -> str:
        return str(self.seen["EXECUTE"])


def settle(root: Path, *disks: str, before: str = "", then: str = "") -> Outcome:
    """Run `worker storage` in a sandbox, with these disks; `then`, Python, after it."""
    (root / "var/lib/condor").mkdir(exist_ok=True)
    driver = DRIVER % {"disks": list(disks), "then": then}
    done = call(sandbox_argv(["bash", "-c", SANDBOX, "sandbox", str(root), before, driver]), seconds=120)
    return Outcome(json.loads(done.stdout.splitlines()[-1]), done.stderr)


@contextmanager
def loop(file: Path, *options: str) -> Iterator[str]:
    device = call(["losetup", "--find", "--show", *options, str(file)]).stdout.strip()
    try:
        yield device
    finally:
        call(["losetup", "--detach", device])


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """The file of an empty disk, gone with the test."""
    require("losetup", "mkfs.ext4", "mkfs.vfat", "sfdisk", "mkswap")
    file = tmp_path / "disk"
    with file.open("wb") as made:
        made.truncate(SIZE)
    yield file
    file.unlink()


def digest(file: Path) -> str:
    """Of every byte that is not zero, and where it is; holes are not read."""
    found = hashlib.sha256()
    with file.open("rb") as opened:
        for start, end in _data(opened.fileno()):
            opened.seek(start)
            for offset in range(start, end, 4096):
                block = opened.read(min(4096, end - offset))
                if block.count(0) != len(block):
                    found.update(struct.pack("Q", offset) + block)
    return found.hexdigest()


def _data(opened: int) -> Iterator[tuple[int, int]]:
    end = 0
    with suppress(OSError):  # nothing but a hole up to the end
        while True:
            start = os.lseek(opened, end, os.SEEK_DATA)
            end = os.lseek(opened, start, os.SEEK_HOLE)
            yield start, end


def put(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(data)


def test_an_empty_disk_is_formatted_and_found_again_with_what_is_on_it(
    worker_root: Path, empty: Path
) -> None:
    with loop(empty) as device:
        keep = "import shutil; open(%r, 'w').write('kept'); " % (ON_DISK + "/file")
        first = settle(worker_root, device, then=keep + "status += storage.main()")
        assert f"{device} was empty and was formatted for job files" in first.said
        assert first.said.count("formatted") == 1
        assert first.said.count(f"job files go to {ON_DISK}") == 2
        assert "warning" not in first.said
        assert first.seen["config"] == [f"EXECUTE = {ON_DISK}"]
        assert (first.seen["owner"], first.seen["mode"], first.seen["status"]) == ("condor", 0o755, 0)
        source, kind, options = first.seen["mount"]
        assert (source, kind) == (device, "ext4")
        assert {"rw", "nosuid", "nodev", "noatime"} <= set(options.split(","))
        features = call(["tune2fs", "-l", device]).stdout
        assert "Filesystem volume name:   worker-execute" in features
        assert "Reserved block count:     0\n" in features

        again = settle(worker_root, device)
        assert "formatted" not in again.said
        assert again.execute == ON_DISK and again.seen["files"] == ["file"]
        assert again.seen["mount"][0] == device
        assert call(["tune2fs", "-l", device]).stdout.count(_uuid(features)) == 1
    assert str(empty) not in call(["losetup", "--list"]).stdout
    assert "execute-disk" not in Path("/proc/mounts").read_text()


def _uuid(features: str) -> str:
    return next(line for line in features.splitlines() if "UUID" in line)


def ext4(disk: Path) -> None:
    call(["mkfs.ext4", "-q", "-F", str(disk)])


def vfat_of_our_name(disk: Path) -> None:
    call(["mkfs.vfat", "-n", "WORKER-EXEC", str(disk)])


def swap_of_our_name(disk: Path) -> None:
    call(["mkswap", "-q", "-L", storage.LABEL, str(disk)])


def gpt(disk: Path) -> None:
    call(["sfdisk", "-q", str(disk)], stdin=b"label: gpt\n,1G\n")


def dos_without_a_partition(disk: Path) -> None:
    call(["sfdisk", "-q", str(disk)], stdin=b"label: dos\n")


def luks(disk: Path) -> None:
    """Version 1's header, as its specification has it; the key slots are not in use."""
    head = struct.pack(
        ">6sH32s32s32sII20s32sI40s", b"LUKS\xba\xbe", 1, b"aes", b"xts-plain64", b"sha256",
        4096, 64, b"\1" * 20, b"\2" * 32, 1000, b"9a3a1a4c-0b4c-4a0e-9c84-6b2a4c0a5d11",
    )  # fmt: skip
    put(disk, 0, head + b"".join(struct.pack(">II32sII", 0xDEAD, 0, b"", 8, 4000) for _ in range(8)))


def lvm(disk: Path) -> None:
    """A label whose checksum is wrong: blkid passes over it, wipefs does not."""
    put(disk, 512, b"LABELONE" + struct.pack("<QII8s", 1, 0, 32, b"LVM2 001"))


def bytes_at_the_start(disk: Path) -> None:
    put(disk, 700_000, b"precious")


def bytes_at_the_end(disk: Path) -> None:
    put(disk, SIZE - 8, b"precious")


def bytes_between(disk: Path) -> None:
    put(disk, list(storage.samples(SIZE))[20] + 5000, b"precious")


@pytest.mark.parametrize(
    ("fill", "what"),
    [
        (ext4, "ext4"),
        (vfat_of_our_name, "vfat"),
        (swap_of_our_name, "swap"),
        (gpt, "a partition table"),
        (dos_without_a_partition, "a partition table"),
        (luks, "crypto_LUKS"),
        (lvm, "a signature that wipefs knows"),
        (bytes_at_the_start, "data of an unknown kind"),
        (bytes_at_the_end, "data of an unknown kind"),
        (bytes_between, "data of an unknown kind"),
    ],
)
def test_a_disk_that_holds_anything_is_left_as_it_is(
    worker_root: Path, empty: Path, fill: Callable[[Path], None], what: str
) -> None:
    fill(empty)
    os.sync()
    before = digest(empty)
    with loop(empty) as device:
        outcome = settle(worker_root, device)
    assert f"{device} is not used: it contains {what}" in outcome.said
    assert digest(empty) == before
    assert outcome.seen["config"] == ["RESERVED_DISK = 1024"]
    assert outcome.execute == "/var/lib/condor/execute"


def test_a_disk_in_use_read_only_or_too_small_is_left_as_it_is(
    worker_root: Path, empty: Path, tmp_path: Path
) -> None:
    before = digest(empty)
    with loop(empty, "--read-only") as device:
        assert f"{device} is not used: it is read-only" in settle(worker_root, device).said
    with loop(empty, "--sizelimit", str(storage.MIN_SIZE - 512)) as device:
        assert settle(worker_root, device).execute == "/var/lib/condor/execute"
    assert digest(empty) == before

    ext4(empty)
    call(["tune2fs", "-L", storage.LABEL, str(empty)])
    place = tmp_path / "mounted"
    place.mkdir()
    with ExitStack() as stack:
        device = stack.enter_context(loop(empty))
        call(["mount", device, str(place)])
        stack.callback(call, ["umount", str(place)])
        said = settle(worker_root, device).said
        assert f"{device} is not used: Device or resource busy" in said


def test_a_disk_that_fails_leaves_the_next_best_place(
    worker_root: Path, empty: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with other.open("wb") as made:
        made.truncate(SIZE + GIB)
    # The superblock says it is ours, but no kernel would mount it.
    ext4(other)
    call(["tune2fs", "-L", storage.LABEL, str(other)])
    call(["debugfs", "-w", "-R", "set_super_value feature_incompat 0x80000242", str(other)])
    with loop(other) as broken, loop(empty) as device:
        outcome = settle(worker_root, broken, device)
        assert f"warning: cannot mount {broken}: mount: " in outcome.said
        assert outcome.execute == ON_DISK
        assert outcome.seen["mount"][0] == device
    other.unlink()


MOUNT_SCRATCH = 'mkdir -p "$1/mnt"; mount {device} "$1/mnt"; {more}'


@pytest.mark.parametrize(
    ("more", "refusal"),
    [
        ("", ""),
        ('chmod 1777 "$1/mnt"', "users other than root may write there"),
        ('ln -s /etc "$1/mnt/condor-execute"', "Not a directory"),
        ('mount -o remount,ro "$1/mnt"', ""),
    ],
    ids=["good", "anybody's", "a link was planted", "read-only"],
)
def test_a_scratch_file_system_is_used(worker_root: Path, empty: Path, more: str, refusal: str) -> None:
    ext4(empty)
    etc = (worker_root / "etc").stat()
    with loop(empty) as device:
        outcome = settle(worker_root, before=MOUNT_SCRATCH.format(device=device, more=more or "true"))
        if more:
            assert outcome.execute == "/var/lib/condor/execute"
            assert refusal in outcome.said and ("warning" in outcome.said) == bool(refusal)
            now = (worker_root / "etc").stat()
            assert (now.st_mode, now.st_uid) == (etc.st_mode, etc.st_uid)
            return
        assert outcome.execute == "/mnt/condor-execute"
        assert (outcome.seen["owner"], outcome.seen["mode"]) == ("condor", 0o755)
        # Full of what jobs left behind, it still is the place.
        full = f'fallocate -l {8 * GIB} "$1/mnt/condor-execute/left"'
        again = settle(worker_root, before=MOUNT_SCRATCH.format(device=device, more=full))
        assert again.execute == "/mnt/condor-execute"


def test_disks_of_this_machine_that_are_in_use_are_no_candidates(empty: Path) -> None:
    """Real lsblk; in a container there is none at all."""
    with loop(empty) as device:
        pairs = call(["lsblk", "-P", "-b", "-o", "KNAME,PKNAME,TYPE,SIZE,RO,RM,MOUNTPOINT"]).stdout
        assert Path(device).name in pairs
        paths = [disk.path for disk in storage.unused_disks(pairs)]
    assert device not in paths
    mounted = {line.split()[0] for line in Path("/proc/mounts").read_text().splitlines()}
    assert not mounted & set(paths)


def test_htcondor_uses_the_place_and_starts_without_one(worker_root: Path, tmp_path: Path) -> None:
    with booted(worker_root, tmp_path / "console") as machine:
        write(machine, conf())
        wait_for_startd(machine)
        # A container, so no disk is looked at; the operating system keeps its GiB.
        assert "job files go to HTCondor's default directory" in machine.console_text()
        assert macros(machine, "RESERVED_DISK", "EXECUTE") == ["1024", "/var/lib/condor/execute"]
        free = int(shell(machine, "df --output=avail -k /var/lib/condor/execute").split()[-1])
        assert abs(free - 1024 * 1024 - int(slot(machine, "TotalDisk"))) < 64 * 1024

        # Whatever goes wrong there, HTCondor starts.
        shell(machine, f"rm {CONFIG}; mkdir {CONFIG}")
        machine.run(["systemctl", "restart", "condor.service"])
        assert f"cannot write {CONFIG}" in machine.console_text()
        assert state(machine, "worker-storage.service") == "failed"
        assert state(machine, "condor.service") == "active"
        shell(machine, f"rmdir {CONFIG}; systemctl restart condor.service")
        assert state(machine, "worker-storage.service") == "inactive"
