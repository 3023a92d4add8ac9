"""Containers for jobs without any privilege: udocker, with Debian's proot as its engine.

udocker's own engines are a tarball that it would fetch at its first use, by each account and from each
worker. It is told to use proot instead, and to fetch none.
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import File, Files, PackageLists, Packages, Step

HOME = "/usr/lib/udocker"
PROGRAM = "/usr/bin/udocker"
_PROGRAM = f"""\
#!/usr/bin/python3 -IB
import os
import sys

# HTCondor's jobs have none, and udocker fails without.
os.environ.setdefault("PATH", "/usr/bin:/bin")
sys.path.insert(0, "{HOME}")

from udocker.maincmd import main

main()
"""
# An empty tarball: "installation skipped" (udocker's tools.py).
_SETTINGS = """\
[DEFAULT]
use_proot_executable = /usr/bin/proot
tarball =
"""


def udocker(context: Context) -> tuple[Step, ...]:
    return (
        PackageLists(context.manager),
        # What it fetches images with: EL9 and later may have curl-minimal, which curl would conflict with.
        Packages(
            context.manager, frozenset({"/usr/bin/curl" if context.manager == "dnf" else "curl", "proot"})
        ),
        Files(
            "install udocker",
            (
                *context.udocker,
                File(PROGRAM, _PROGRAM.encode(), 0o755),
                File("/etc/udocker.conf", _SETTINGS.encode()),
            ),
        ),
    )
