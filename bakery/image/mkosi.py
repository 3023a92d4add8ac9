"""The configuration of mkosi for a base that is built from the distribution's packages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bakery.runtime.mirror import Mirror
from provisioner.errors import MissingHere

# Version 24 reads the folder mkosi.pkgmngr without being told to (mkosi's NEWS).
OLDEST = 24

TOOLS = (
    "mkosi",
    "bwrap",
    "mcopy",
    "mkfs.vfat",
    "mkfs.ext4",
    "grub-mkimage",
    "cpio",
    "depmod",
    "zstd",
)


# Of the UUIDs of the partition table, the partitions and the file systems: the same in each build.
SEED = "5f3c1e7a-6c0b-4b57-9b0e-2d7d2c6a1e43"
# Of each build others: identities, caches with positions in memory, times.
_NEVER_THE_SAME = (
    "/etc/ssh/ssh_host_*",
    "/var/cache/apt/*.bin",
    "/var/cache/ldconfig/aux-cache",
    "/var/log/alternatives.log",
)

# Of mkosi's default initrd. mkosi 26 finds the file by its name.
INITRD = "mkosi.initrd.conf"
READS_INITRD = 26
WORKSPACE = "mkosi-workspace"  # beside the configuration: mkosi 25 requires a path outside it


def check_version(output: str) -> int:
    """The version in the output of `mkosi --version`. Raises MissingHere: it is older than OLDEST."""
    found = re.match(r"mkosi (\d+)", output)
    if found and int(found[1]) >= OLDEST:
        return int(found[1])
    raise MissingHere(
        f"{output.strip() or 'mkosi'} is too old to build the base; mkosi {OLDEST} or later is required.",
        "Use a base that is downloaded (--base debian13-cloud), or the builder image of "
        "docs/how-to/build-hosts.md.",
    )


@dataclass(frozen=True)
class Build:
    """A recipe for mkosi; `root_size` is a size for systemd-repart (4G)."""

    distribution: str
    release: str
    root_size: str
    kernel_command_line: tuple[str, ...]
    packages: tuple[str, ...]
    snapshot: str = ""  # the timestamp of the archive to build from; "": the current one


def files(build: Build, mirror: Mirror, package_cache: Path) -> dict[str, str]:
    """Return mkosi's configuration files by path.

    The disk has an ESP, a BIOS boot partition for grub, and last the root, which grows at first boot.
    """
    sources = mirror.sources(build.release)
    return {
        "mkosi.conf": _main_conf(build, mirror, package_cache),
        INITRD: f"[Content]\nRemoveFiles={','.join(_NEVER_THE_SAME)}\n",
        # mkosi's default list includes the debug archive, which most mirrors do not carry.
        "mkosi.pkgmngr/etc/apt/sources.list.d/mkosi.sources": sources,  # mkosi 24
        "mkosi.sandbox/etc/apt/sources.list.d/mkosi.sources": sources,  # mkosi 25 renamed the folder
        "mkosi.repart/00-esp.conf": _partition(
            "esp", "256M", "Format=vfat", "CopyFiles=/boot:/", "CopyFiles=/efi:/"
        ),
        "mkosi.repart/05-bios.conf": _partition("21686148-6449-6e6f-744e-656564454649", "1M"),
        "mkosi.repart/10-root.conf": _partition("root", build.root_size, "Format=ext4", "CopyFiles=/"),
    }


def _main_conf(build: Build, mirror: Mirror, package_cache: Path) -> str:
    packages = "".join(f"  {name}\n" for name in sorted(build.packages))
    return f"""\
[Distribution]
Distribution={build.distribution}
Release={build.release}
Mirror={mirror.main}

[Output]
Format=disk
Output=base
OutputDirectory=out
Seed={SEED}

[Content]
Bootable=yes
Bootloader=grub
BiosBootloader=grub
RemoveFiles={",".join(_NEVER_THE_SAME)}
WithDocs=no
Locale=C.UTF-8
KernelCommandLine={" ".join(build.kernel_command_line)}
Packages=
{packages}
[Build]
WorkspaceDirectory=../{WORKSPACE}
PackageCacheDirectory={package_cache}
"""


def _partition(kind: str, size: str, *more: str) -> str:
    rows = [f"Type={kind}", *more, f"SizeMinBytes={size}", f"SizeMaxBytes={size}"]
    return "\n".join(["[Partition]", *rows, ""])
