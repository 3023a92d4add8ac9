"""The share of a machine that control groups grant, read from files as kernels write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from worker_runtime.container import cgroup
from worker_runtime.container.cgroup import Mount, Share

WHOLE = Share(64, 512_000)
# As seen in a container of Docker with version 2 and a namespace of its own.
V2 = (
    "0::/\n",
    "1203 1202 0:28 / {at} ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n",
)
# With version 1: the paths are the host's, the mounts begin at the container's own groups.
V1 = (
    "5:memory:/docker/3f1c\n4:cpu,cpuacct:/docker/3f1c\n1:name=systemd:/docker/3f1c\n0::/docker/3f1c\n",
    "40 39 0:30 /docker/3f1c {at}/memory ro,nosuid master:13 - cgroup cgroup rw,memory\n"
    "41 39 0:31 /docker/3f1c {at}/cpu,cpuacct ro,nosuid master:14 - cgroup cgroup rw,cpu,cpuacct\n"
    "42 39 8:1 /docker {at} rw - ext4 /dev/root rw\n",
)
# A step of Slurm's: the limits are those of the job, two levels above the process.
SLURM = (
    "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0\n",
    "30 25 0:26 / {at} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
)


@pytest.mark.parametrize(
    ("kernel", "limits", "share"),
    [
        (V2, {"cpu.max": "200000 100000\n", "memory.max": "4294967296\n"}, Share(2, 4096)),
        (V2, {"cpu.max": "max 100000\n", "memory.max": "max\n"}, WHOLE),
        (V2, {}, WHOLE),
        (V2, {"cpu.max": "50000 100000\n"}, Share(1, 512_000)),
        (V2, {"cpu.max": "350000 100000\n"}, Share(3, 512_000)),
        (
            V1,
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "4294967296\n",
            },
            Share(2, 4096),
        ),
        (
            V1,
            {
                "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            WHOLE,
        ),
        (
            SLURM,
            {
                "system.slice/slurmstepd.scope/job_7/memory.max": "17179869184\n",
                "system.slice/slurmstepd.scope/job_7/step_0/memory.max": "max\n",
                "system.slice/slurmstepd.scope/job_8/memory.max": "1\n",
            },
            Share(64, 16_384),
        ),
    ],
)
def test_the_least_limit_holds(
    kernel: tuple[str, str], limits: dict[str, str], share: Share, tmp_path: Path
) -> None:
    for name, content in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    own, mountinfo = kernel
    groups = cgroup.folders(own, cgroup.mounts(mountinfo.format(at=tmp_path)))
    assert cgroup.limited_share(WHOLE, groups) == share


def test_only_control_groups_are_looked_at_and_names_are_as_they_are_written() -> None:
    line = r"31 25 0:27 /a\134x2db /sys/fs/c\040d rw - cgroup cgroup rw,cpu,cpuacct"
    assert cgroup.mounts(f"{line}\n9 1 8:1 / / rw - ext4 /dev/root rw\n") == [
        Mount(r"/a\x2db", "/sys/fs/c d", frozenset({"rw", "cpu", "cpuacct"}))
    ]


def test_what_is_above_the_mount_s_root_is_not_looked_for() -> None:
    mounted = [Mount("/../..", "/cg", frozenset())]
    assert cgroup.folders("0::/../../other/job\n", mounted) == ["/cg/other/job", "/cg/other", "/cg"]
    assert cgroup.folders("0::/elsewhere\n", [Mount("/docker/1", "/cg", frozenset())]) == ["/cg"]


def test_this_machine_s_own() -> None:
    found = cgroup.share()
    assert 1 <= found.cpus <= len(os.sched_getaffinity(0))
    assert 0 < found.memory <= cgroup.machine().memory
