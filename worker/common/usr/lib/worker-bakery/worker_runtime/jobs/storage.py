"""`worker storage`: where the jobs' files go, decided anew before each start of HTCondor.

The best of: an attached disk, formatted if it is empty; a folder on a file system that a cloud
mounted for scratch; HTCondor's default. A kind of worker whose jobs have a home of their own finds
whatever it is there. A disk that holds anything is never written to, and when
in doubt it holds something. No failure here stops HTCondor: the next best place is taken.
What to try, and in which order, is `options`, pure; trying it is `prepared`.
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
from worker_runtime.system.paths import CONFIG_DIR

CONFIG_FILE = CONFIG_DIR + "/80-worker-storage.config"
HEAD = "# Written by `worker storage` before each start of HTCondor.\n"
DEFAULT = "/var/lib/condor"  # HTCondor's own place is in here; where a disk of ours is mounted, too
DISK = DEFAULT + "/execute-disk"
FOLDER = "condor-execute"  # on whatever file system is taken
EXECUTE, IMAGES = "/condor", "/images"  # in a home of the jobs' own
LABEL = "worker-execute"
CONTAINER = "/run/systemd/container"  # systemd's note that this machine is one

GIB = 2**30
MIN_SIZE = 8 * GIB  # a disk or file system with less is not worth it
RESERVED = 1024  # MiB that jobs leave free beside the operating system
BLOCK = 2**20  # what is read at once, to see zeros
SAMPLES = 64
BLKROGET = 0x125E  # <linux/fs.h>: is this block device read-only
SECONDS = 300  # for one program; formatting is quick, as ext4 does most of it later

# What clouds name whole disks; never loop, zram, md or device-mapper's. Not nbd and rbd either:
# more than one machine may have them.
_WHOLE_DISK = re.compile(r"(sd[a-z]+|vd[a-z]+|xvd[a-z]+|nvme[0-9]+n[0-9]+)\Z")
# Where clouds and cloud-init mount disks for scratch. People mount their data elsewhere, and
# that place is left to them.
_SCRATCH = re.compile(r"/(mnt(/[A-Za-z0-9._-]+)?|scratch|ephemeral[0-9]*|media/ephemeral[0-9]*)\Z")
_LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs")
_PAIR = re.compile(r'([A-Z]+)="([^"]*)"')
EMPTY, OURS = "nothing", "the files of jobs"


class Disk(NamedTuple):
    path: str
    size: int  # bytes
    content: str = "unknown"  # EMPTY, OURS or what else is there


class FileSystem(NamedTuple):
    mount_point: str
    kind: str
    options: Sequence[str]
    free: int  # bytes
    used_before: bool  # it has our folder


class Option(NamedTuple):
    verb: str  # format, mount or use
    what: str  # a device, or the place of a file system


class Unsuitable(Exception):
    """Why a disk or file system is not taken, in words."""


def unused_disks(pairs: str) -> List[Disk]:
    """The whole disks nobody uses, in what `lsblk -P -b` printed."""
    rows = [dict(_PAIR.findall(line)) for line in pairs.splitlines()]
    parents = {row["PKNAME"] for row in rows}
    return [Disk("/dev/" + row["KNAME"], int(row["SIZE"])) for row in rows if _unused(row, parents)]


def _unused(row: Dict[str, str], parents: Set[str]) -> bool:
    fixed = (row["TYPE"], row["RO"], row["RM"]) == ("disk", "0", "0")
    named = bool(_WHOLE_DISK.match(row["KNAME"]))
    return fixed and named and row["KNAME"] not in parents and not row["MOUNTPOINT"]


def options(disks: Sequence[Disk], mounted: Sequence[FileSystem], free: int) -> List[Option]:
    """What to try, best first; `free` bytes are free at HTCondor's default place."""
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
    # Full of the files of jobs that a crash left, it is still the place.
    large = system.used_before or system.free >= max(MIN_SIZE, 2 * free)
    return bool(_SCRATCH.match(system.mount_point)) and usable and large


def config(folder: Optional[str], home: str = "") -> str:
    """HTCondor's configuration for jobs' files in `folder`, or in its default place; or in `home`."""
    execute = home + EXECUTE if home else folder
    lines = ["EXECUTE = %s\n" % execute] if execute else []
    if folder is None:
        lines.append("RESERVED_DISK = %d\n" % RESERVED)
    return HEAD + "".join(lines)


def parse_content(blkid: str) -> str:
    """What is on a disk on which `blkid -p -o export` found something."""
    found = dict(line.split("=", 1) for line in blkid.splitlines() if "=" in line)
    if (found.get("TYPE"), found.get("LABEL")) == ("ext4", LABEL) and "PTTYPE" not in found:
        return OURS
    return found.get("TYPE") or "a partition table"


def samples(size: int) -> Iterator[int]:
    """Offsets of blocks to look into: the first, the last, and some between."""
    last = max(0, size - BLOCK)
    return (last * number // (SAMPLES - 1) for number in range(SAMPLES))


def examine(disk: Disk) -> Disk:
    """With what is on it. Raises Unsuitable if somebody uses it, OSError if it cannot be read."""
    if not stat.S_ISBLK(os.stat(disk.path).st_mode):
        raise Unsuitable("it is no disk")
    device = os.open(disk.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)  # EBUSY if anything has it
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
    """The scratch file systems and our disk, if they are mounted."""
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
    """Bytes that are free there for anybody."""
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def choose_folder(disks: Sequence[Disk], default: str) -> Optional[str]:
    """The folder for the jobs' files, made ready; None if the default place is the best."""
    known = []
    for disk in disks:
        try:
            known.append(examine(disk))
        except (Unsuitable, OSError) as why:
            log("%s is left alone: %s" % (disk.path, _reason(why)))
    for disk in known:
        if disk.content not in (EMPTY, OURS):
            log("%s is left alone: it holds %s" % (disk.path, disk.content))
    for option in options(known, file_systems(), free_at(default)):
        try:
            return prepare(option)
        except (Unsuitable, OSError) as why:
            log("warning: cannot %s %s: %s" % (option.verb, option.what, _reason(why)))
    return None


def prepare(option: Option) -> str:
    """Make it so; the folder. Raises Unsuitable, OSError."""
    if option.verb == "format":
        # Forced, because EL7's else asks whether a whole disk is meant; it refuses one in use
        # all the same. What is discarded need not be, and may take long.
        features = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        _run(["mkfs.ext4", "-q", "-F", "-L", LABEL, "-m", "0", "-E", features, option.what])
        log("%s was empty: formatted for the files of jobs" % option.what)
    if option.verb == "use":
        return folder_in(option.what)
    os.makedirs(DISK, 0o755, exist_ok=True)
    if os.path.islink(DISK):  # DEFAULT is HTCondor's, not root's
        raise Unsuitable("%s is a link" % DISK)
    _run(["mount", "-t", "ext4", "-o", "nosuid,nodev,noatime", option.what, DISK])
    return folder_in(DISK)


def folder_in(place: str) -> str:
    """Our folder there, HTCondor's own. Raises Unsuitable where others could have planted it."""
    above = os.stat(place)
    if above.st_uid != 0 or above.st_mode & 0o022:
        raise Unsuitable("others than root may write there")
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
    """The disks of this machine. A container sees its host's, which are not its own."""
    if os.path.exists(CONTAINER):
        return []
    columns = "KNAME,PKNAME,TYPE,SIZE,RO,RM,MOUNTPOINT"
    return unused_disks(_run(["lsblk", "-P", "-b", "-o", columns]))


def configured_folder_exists(path: str) -> bool:
    """The folder that an earlier run wrote into this file; gone after a boot, if on a disk."""
    try:
        with open(path, encoding="utf-8") as written:
            named = re.findall(r"^EXECUTE = (.*)$", written.read(), re.MULTILINE)
    except FileNotFoundError:
        return False
    return all(os.path.isdir(folder) for folder in named)


def find_folder(default: str) -> Optional[str]:
    """The folder, or None for the default, which is also what is left after a failure."""
    if settings.current()["ExecuteDisk"] != "yes":
        return None
    try:
        return choose_folder(list_disks(), default)
    except (Unsuitable, OSError) as why:
        log("warning: no place for the files of jobs was found: %s" % _reason(why))
        return None


def bind_home(home: str, chosen: Optional[str]) -> None:
    """The home of the jobs' files: the chosen folder, if there is one. Raises Unsuitable, OSError.

    A file system that somebody else has mounted there stays, and is used.
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
    # Any job may add an image, and none can take away another's.
    os.makedirs(home + IMAGES, exist_ok=True)
    os.chmod(home + IMAGES, 0o1777)


def mounted_at(place: str) -> Optional[str]:
    """Which folder of its file system is mounted there; None if nothing is."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        rows = [line.split(" ") for line in mounts]
    found = [root for _, _, _, root, where, *_ in rows if where == place]
    return found[-1] if found else None


def bind_home_or_default(home: str, chosen: Optional[str]) -> Optional[str]:
    """`moved_in` with the chosen folder, or else without; which it was. Raises Unsuitable."""
    last = ""
    for tried in (chosen, None):
        try:
            bind_home(home, tried)
            return tried
        except (Unsuitable, OSError) as why:
            last = _reason(why)
            log("warning: cannot have %s at %s: %s" % (tried or "jobs' files", home, last))
    raise Unsuitable(last)


def main() -> int:
    home = kind.load().home
    try:
        # Before a disk that hangs can have systemd end this: HTCondor starts all the same.
        if not configured_folder_exists(CONFIG_FILE):
            files.put(CONFIG_FILE, config(None, home).encode("ascii"), 0o644)
        chosen = find_folder(os.path.dirname(home) or DEFAULT)
        if home:
            chosen = bind_home_or_default(home, chosen)
        files.put(CONFIG_FILE, config(chosen, home).encode("ascii"), 0o644)
    except Unsuitable:
        return 1
    except OSError as why:
        log("cannot write %s: %s" % (CONFIG_FILE, _reason(why)))
        return 1
    log("the files of jobs go to %s" % (chosen or home or "HTCondor's default place"))
    return 0


def _reason(why: Exception) -> str:
    return why.strerror or str(why) if isinstance(why, OSError) else str(why)


def _run(argv: Sequence[str], expect: Sequence[int] = (0,)) -> str:
    """What it prints. Raises Unsuitable with the first line of its complaint."""
    done = run(argv, SECONDS)
    if done.status not in expect:
        raise Unsuitable("%s: %s" % (argv[0], done.error or "status %d" % done.status))
    return done.out
