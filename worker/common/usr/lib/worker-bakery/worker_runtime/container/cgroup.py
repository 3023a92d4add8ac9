"""Finds out which share of the machine a container or a batch system grants.

It reads control groups of both versions, because HTCondor 23.9 considers only the whole machine. (Formats:
cgroups(7), the kernel's cgroup-v2.rst, and proc(5) on /proc/PID/cgroup and /proc/PID/mountinfo.)
"""

import os
import re
from typing import FrozenSet, Iterator, List, NamedTuple

from worker_runtime.system import files

_ALL = float("inf")


class Share(NamedTuple):
    """CPUs (at least one) and memory in MiB."""

    cpus: int  # at least one
    memory: int  # MiB


class Mount(NamedTuple):
    """A mount of a control group hierarchy, from `root` downwards."""

    root: str
    point: str
    controllers: FrozenSet[str]  # empty: version 2, with all controllers in one hierarchy


def share() -> Share:
    """The smaller of the machine and of the limits of this process's groups."""
    mounted = files.read_text("/proc/self/mountinfo")
    return limited_share(machine(), folders(files.read_text("/proc/self/cgroup"), mounts(mounted)))


def machine() -> Share:
    """The CPUs that the process may run on (its affinity), and all memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Share(len(os.sched_getaffinity(0)), memory >> 20)


def limited_share(whole: Share, groups: List[str]) -> Share:
    """What the limits of these groups leave of the whole; `groups` are their directories."""
    cpus = min([float(whole.cpus), *map(cpu_limit, groups)])
    memory = min([float(whole.memory << 20), *map(memory_limit, groups)])
    return Share(max(1, int(cpus)), int(memory) >> 20)


def cpu_limit(group: str) -> float:
    """CPUs; infinite for a group without a limit."""
    both = files.read_text(group + "/cpu.max").split() or [
        files.read_text("%s/cpu.cfs_%s_us" % (group, what)).strip() for what in ("quota", "period")
    ]
    quota, period = both
    return int(quota) / int(period) if quota.isdigit() else _ALL


def memory_limit(group: str) -> float:
    """Bytes; infinite for a group without a limit."""
    content = files.read_text(group + "/memory.max") or files.read_text(group + "/memory.limit_in_bytes")
    return int(content) if content.strip().isdigit() else _ALL


def mounts(mountinfo: str) -> List[Mount]:
    """The control group hierarchies in the content of /proc/PID/mountinfo."""
    found = []
    for line in mountinfo.splitlines():
        location, _, what = line.partition(" - ")
        kind, _, options = what.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, point = map(_unescaped, location.split(" ")[3:5])
            names = options.split(",") if kind == "cgroup" else []
            found.append(Mount(root, point, frozenset(names)))
    return found


def folders(own: str, mounted: List[Mount]) -> List[str]:
    """The directories of a process's groups and of all visible groups above them.

    `own` is the content of /proc/PID/cgroup.
    """
    found: List[str] = []
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        for mount in mounted:
            if names == "" if not mount.controllers else mount.controllers & set(names.split(",")):
                found.extend(_upwards(mount, path))
    return found


def _upwards(mount: Mount, path: str) -> Iterator[str]:
    # In a container the path may be that of the host, of which only the last part, or nothing, is visible.
    root = mount.root.rstrip("/")
    below = path[len(root) :] if (path + "/").startswith(root + "/") else ""
    names = [name for name in below.split("/") if name and name != ".."]
    for length in range(len(names), -1, -1):
        yield "/".join([mount.point, *names[:length]])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)
