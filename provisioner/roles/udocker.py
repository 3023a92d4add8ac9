"""Install udocker for containers in jobs without privileges, with Debian's proot as its engine.

By default udocker downloads a tarball with its engines at its first use, once per account and worker. It is
configured to use proot and to download nothing.
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
    """The steps: packages, program, configuration."""
    return (
        PackageLists(context.manager),
        # udocker downloads images with curl. EL9 and later may have curl-minimal, which conflicts with
        # curl.
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
