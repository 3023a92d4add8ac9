"""`worker storage`: chooses the directory of the job files before each start of HTCondor.

The best of: an attached disk, formatted if it is empty; a directory on a file system that a cloud mounted
for scratch; HTCondor's default. For a kind of worker whose jobs have a home directory, the choice is
mounted there. A disk with any content is never written to; in case of doubt it counts as not empty. No
failure here stops HTCondor: the next best directory is used. `options` (pure) decides what to try and in
which order; `prepare` tries it.
"""

import fcntl
import os
import pwd
import re
import stat
import struct
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set

from worker_runtime.configuration import kind, settings
from worker_runtime.system import files
from worker_runtime.system.command import run
from worker_runtime.system.console import log
from worker_runtime.system.paths import written_config

CONFIG_NAME = "80-worker-storage.config"
HEAD = "# Written by `worker storage` before each start of HTCondor.\n"
DEFAULT = "/var/lib/condor"  # contains HTCondor's default directory and the mount point of our disk
DISK = DEFAULT + "/execute-disk"
FOLDER = "condor-execute"  # on the chosen file system
EXECUTE, IMAGES = "/condor", "/images"  # in a home directory of the jobs
LABEL = "worker-execute"
CONTAINER = "/run/systemd/container"  # created by systemd in a container

GIB = 2**30
MIN_SIZE = 8 * GIB  # smaller disks and file systems are not used
RESERVED = 1024  # MiB to keep free on the root file system
BLOCK = 2**20  # bytes read at once
SAMPLES = 64
BLKROGET = 0x125E  # <linux/fs.h>: is this block device read-only
SECONDS = 300  # for one program; formatting is fast, because ext4 does most of it later

# The names of whole disks in clouds; never loop, zram, md or device-mapper, nor nbd and rbd, which may be
# in use by several machines.
_WHOLE_DISK = re.compile(r"(sd[a-z]+|vd[a-z]+|xvd[a-z]+|nvme[0-9]+n[0-9]+)\Z")
# Where clouds and cloud-init mount disks for scratch. Users mount their data elsewhere.
_SCRATCH = re.compile(r"/(mnt(/[A-Za-z0-9._-]+)?|scratch|ephemeral[0-9]*|media/ephemeral[0-9]*)\Z")
_LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs")
_PAIR = re.compile(r'([A-Z]+)="([^"]*)"')
EMPTY, OURS = "nothing", "job files"


class Disk(NamedTuple):
    """A whole disk."""

    path: str
    size: int  # bytes
    content: str = "unknown"  # EMPTY, OURS or a description


class FileSystem(NamedTuple):
    """A mounted file system."""

    mount_point: str
    kind: str
    options: Sequence[str]
    free: int  # bytes
    used_before: bool  # it contains our directory


class Option(NamedTuple):
    """One way to get a directory for job files."""

    verb: str  # format, mount or use
    what: str  # a device, or the mount point of a file system


class Unsuitable(Exception):
    """Why a disk or file system is not used, in words."""


def unused_disks(pairs: str) -> List[Disk]:
    """The unused whole disks in the output of `lsblk -P -b`."""
    rows = [dict(_PAIR.findall(line)) for line in pairs.splitlines()]
    parents = {row["PKNAME"] for row in rows}
    return [Disk("/dev/" + row["KNAME"], int(row["SIZE"])) for row in rows if _unused(row, parents)]


def _unused(row: Dict[str, str], parents: Set[str]) -> bool:
    fixed = (row["TYPE"], row["RO"], row["RM"]) == ("disk", "0", "0")
    named = bool(_WHOLE_DISK.match(row["KNAME"]))
    return fixed and named and row["KNAME"] not in parents and not row["MOUNTPOINT"]


def options(disks: Sequence[Disk], mounted: Sequence[FileSystem], free: int) -> List[Option]:
    """What to try, best first; `free` is the free space at HTCondor's default directory in bytes."""
    if any(system.mount_point == DISK for system in mounted):
        return [Option("use", DISK)]
    by_size = sorted(disks, key=lambda disk: -disk.size)
    ours = [Option("mount", disk.path) for disk in by_size if disk.content == OURS]
    large = [disk for disk in by_size if disk.size >= MIN_SIZE and disk.size > free]
    empty = [Option("format", disk.path) for disk in large if disk.content == EMPTY]
    scratch = [system for system in mounted if _is_scratch(system, free)]
    scratch.sort(key=lambda system: (not system.used_before, -system.free))
    return ours + empty + [Option("use", system.mount_point) for system in scratch]


def _is_scratch(system: FileSystem, free: int) -> bool:
    usable = system.kind in _LOCAL and not {"ro", "noexec"} & set(system.options)
    # It is still suitable if it is full of job files that a crash left.
    large = system.used_before or system.free >= max(MIN_SIZE, 2 * free)
    return bool(_SCRATCH.match(system.mount_point)) and usable and large


def config(folder: Optional[str], home: str = "") -> str:
    """HTCondor's configuration for job files in `folder`, in its default directory (None), or in `home`."""
    execute = home + EXECUTE if home else folder
    lines = ["EXECUTE = %s\n" % execute] if execute else []
    if folder is None:
        lines.append("RESERVED_DISK = %d\n" % RESERVED)
    return HEAD + "".join(lines)


def parse_content(blkid: str) -> str:
    """What a disk contains on which `blkid -p -o export` found something."""
    found = dict(line.split("=", 1) for line in blkid.splitlines() if "=" in line)
    if (found.get("TYPE"), found.get("LABEL")) == ("ext4", LABEL) and "PTTYPE" not in found:
        return OURS
    return found.get("TYPE") or "a partition table"


def samples(size: int) -> Iterator[int]:
    """Offsets of blocks to read: the first, the last, and some between."""
    last = max(0, size - BLOCK)
    return (last * number // (SAMPLES - 1) for number in range(SAMPLES))


def examine(disk: Disk) -> Disk:
    """The disk with its content. Raises Unsuitable if it is in use, OSError if it cannot be read."""
    if not stat.S_ISBLK(os.stat(disk.path).st_mode):
        raise Unsuitable("it is not a block device")
    device = os.open(disk.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)  # EBUSY if it is in use
    try:
        if _is_read_only(device):
            raise Unsuitable("it is read-only")
        found = _run(["blkid", "-p", "-o", "export", disk.path], expect=(0, 2))
        if found:
            return disk._replace(content=parse_content(found))
        if _run(["wipefs", "--no-act", disk.path]):
            return disk._replace(content="a signature that wipefs knows")
        return disk._replace(content=EMPTY if _is_zero(device) else "data of an unknown kind")
    finally:
        os.close(device)


def _is_read_only(device: int) -> bool:
    answer = fcntl.ioctl(device, BLKROGET, struct.pack("i", 0))
    return bool(struct.unpack("i", answer)[0])


def _is_zero(device: int) -> bool:
    size = os.lseek(device, 0, os.SEEK_END)
    blocks = (os.pread(device, BLOCK, offset) for offset in samples(size))
    return size > 0 and all(block.count(b"\0") == len(block) for block in blocks)


def file_systems() -> List[FileSystem]:
    """The mounted scratch file systems and our own disk."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        rows = [line.split(" ") for line in mounts]
    # A later mount hides an earlier one.
    by_place = {place: (kind, given) for _, place, kind, given, *_ in rows}
    return [
        FileSystem(place, kind, given.split(","), free_at(place), _has_folder(place))
        for place, (kind, given) in by_place.items()
        if place == DISK or (_SCRATCH.match(place) and kind in _LOCAL)
    ]


def _has_folder(place: str) -> bool:
    return os.path.isdir(os.path.join(place, FOLDER))


def free_at(place: str) -> int:
    """The bytes that are free there for users other than root."""
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def choose_folder(disks: Sequence[Disk], default: str) -> Optional[str]:
    """The prepared directory for job files; None if HTCondor's default is the best."""
    known = []
    for disk in disks:
        try:
            known.append(examine(disk))
        except (Unsuitable, OSError) as reason:
            log("%s is not used: %s" % (disk.path, _reason(reason)))
    for disk in known:
        if disk.content not in (EMPTY, OURS):
            log("%s is not used: it contains %s" % (disk.path, disk.content))
    for option in options(known, file_systems(), free_at(default)):
        try:
            return prepare(option)
        except (Unsuitable, OSError) as reason:
            log("warning: cannot %s %s: %s" % (option.verb, option.what, _reason(reason)))
    return None


def prepare(option: Option) -> str:
    """Carry out the option and return the directory. Raises Unsuitable, OSError."""
    if option.verb == "format":
        # -F, because mkfs of EL7 asks whether a whole disk is meant; it still rejects a disk in use.
        # nodiscard, because discarding is unnecessary and may take long.
        features = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        _run(["mkfs.ext4", "-q", "-F", "-L", LABEL, "-m", "0", "-E", features, option.what])
        log("%s was empty and was formatted for job files" % option.what)
    if option.verb == "use":
        return folder_in(option.what)
    os.makedirs(DISK, 0o755, exist_ok=True)
    if os.path.islink(DISK):  # HTCondor, not root, owns DEFAULT
        raise Unsuitable("%s is a link" % DISK)
    _run(["mount", "-t", "ext4", "-o", "nosuid,nodev,noatime", option.what, DISK])
    return folder_in(DISK)


def folder_in(place: str) -> str:
    """Our directory there, owned by HTCondor. Raises Unsuitable where others could have planted it."""
    above = os.stat(place)
    if above.st_uid != 0 or above.st_mode & 0o022:
        raise Unsuitable("users other than root may write there")
    path = os.path.join(place, FOLDER)
    if not os.path.lexists(path):
        os.mkdir(path, 0o755)
    condor = pwd.getpwnam("condor")
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(opened, condor.pw_uid, condor.pw_gid)
        os.fchmod(opened, 0o755)
    finally:
        os.close(opened)
    return path


def list_disks() -> List[Disk]:
    """The disks of this machine.

    In a container there are none, because those that it sees are its host's.
    """
    if os.path.exists(CONTAINER):
        return []
    columns = "KNAME,PKNAME,TYPE,SIZE,RO,RM,MOUNTPOINT"
    return unused_disks(_run(["lsblk", "-P", "-b", "-o", columns]))


def configured_folder_exists(path: str) -> bool:
    """Whether the directory that an earlier run configured exists.

    After a boot, a disk is not mounted yet.
    """
    try:
        with open(path, encoding="utf-8") as written:
            named = re.findall(r"^EXECUTE = (.*)$", written.read(), re.MULTILINE)
    except FileNotFoundError:
        return False
    return all(os.path.isdir(folder) for folder in named)


def find_folder(default: str) -> Optional[str]:
    """The directory, or None for the default, which is also used after a failure."""
    if settings.current()["ExecuteDisk"] != "yes":
        return None
    try:
        return choose_folder(list_disks(), default)
    except (Unsuitable, OSError) as reason:
        log("warning: no directory for job files was found: %s" % _reason(reason))
        return None


def bind_home(home: str, chosen: Optional[str]) -> None:
    """Mount the chosen directory, if there is one, as the home of the job files.

    A file system that somebody else has mounted there stays and is used. Raises Unsuitable, OSError.
    """
    os.makedirs(home, 0o755, exist_ok=True)
    there = mounted_at(home)
    if there and there.endswith("/" + FOLDER):
        _run(["umount", home])
        there = None
    if chosen and not there:
        _run(["mount", "--bind", chosen, home])
    condor = pwd.getpwnam("condor")
    os.makedirs(home + EXECUTE, 0o755, exist_ok=True)
    os.chown(home + EXECUTE, condor.pw_uid, condor.pw_gid)
    # Each job may add an image, but not remove one of another job.
    os.makedirs(home + IMAGES, exist_ok=True)
    os.chmod(home + IMAGES, 0o1777)


def mounted_at(place: str) -> Optional[str]:
    """The directory of its file system that is mounted there; None if nothing is."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        rows = [line.split(" ") for line in mounts]
    found = [root for _, _, _, root, where, *_ in rows if where == place]
    return found[-1] if found else None


def bind_home_or_default(home: str, chosen: Optional[str]) -> Optional[str]:
    """bind_home() with the chosen directory, otherwise without; return the one used. Raises Unsuitable."""
    last = ""
    for tried in (chosen, None):
        try:
            bind_home(home, tried)
            return tried
        except (Unsuitable, OSError) as reason:
            last = _reason(reason)
            log("warning: cannot mount %s at %s: %s" % (tried or "job files", home, last))
    raise Unsuitable(last)


def main() -> int:
    """Choose the directory and configure HTCondor for it; the exit status."""
    home, path = kind.load().home, written_config(CONFIG_NAME)
    try:
        # First, so that HTCondor starts even if a disk hangs and systemd ends this program.
        if not configured_folder_exists(path):
            files.put(path, config(None, home).encode("ascii"), 0o644)
        chosen = find_folder(os.path.dirname(home) or DEFAULT)
        if home:
            chosen = bind_home_or_default(home, chosen)
        files.put(path, config(chosen, home).encode("ascii"), 0o644)
    except Unsuitable:
        return 1
    except OSError as reason:
        log("cannot write %s: %s" % (path, _reason(reason)))
        return 1
    log("job files go to %s" % (chosen or home or "HTCondor's default directory"))
    return 0


def _reason(reason: Exception) -> str:
    return reason.strerror or str(reason) if isinstance(reason, OSError) else str(reason)


def _run(argv: Sequence[str], expect: Sequence[int] = (0,)) -> str:
    """The output of the program. Raises Unsuitable with the first line of its error."""
    done = run(argv, SECONDS)
    if done.status not in expect:
        raise Unsuitable("%s: %s" % (argv[0], done.error or "status %d" % done.status))
    return done.out
