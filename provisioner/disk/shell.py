"""`python -m provisioner.disk.shell RAW [COMMAND …]`: run a command, or bash, in the root of a disk image.

It must run in a sandbox. Changes are written to the disk. The exit status is that of the command.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from provisioner.disk.file_systems import mount_root
from provisioner.errors import BakeryError
from provisioner.process.run import attached
from provisioner.targets.chroot import ENVIRONMENT, mount_kernel_file_systems


def main() -> int:
    disk, *command = sys.argv[1:]
    try:
        return _enter(Path(disk), command or ["/bin/bash", "-l"])
    except BakeryError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _enter(disk: Path, command: list[str]) -> int:
    root = Path(tempfile.mkdtemp(prefix="root-", dir=disk.parent))
    mount_root(disk, root)
    mount_kernel_file_systems(root)
    inside = {**ENVIRONMENT, "TERM": os.environ.get("TERM", "dumb")}
    words = [f"{name}={value}" for name, value in inside.items()]
    return attached(["chroot", str(root), "/usr/bin/env", "-i", *words, *command])


if __name__ == "__main__":
    sys.exit(main())
