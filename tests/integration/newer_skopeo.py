"""skopeo of Debian 13 for tests: that of Debian 12 cannot write an index with types of artifacts.

The packages are unpacked in the user's cache and kept there; nothing is installed on this machine.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from bakery.runtime import mirror
from provisioner.process import run
from tests.integration import docker_here
from tests.integration.docker_here import CACHE

_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def folder() -> Path:
    """A folder for PATH whose skopeo is the newer one; downloads it once."""
    done = CACHE / "skopeo"
    if not done.exists():
        new = CACHE / f"skopeo-{os.getpid()}"
        root = new / "root"
        new.mkdir(parents=True)
        mmdebstrap = docker_here.programs() / "usr/bin/mmdebstrap"
        options = ["--variant=extract", "--mode=root", "--include=skopeo"]
        source = f"deb {mirror.find().main} trixie main"
        env = {**os.environ, "PATH": f"{mmdebstrap.parent}:{os.environ['PATH']}"}
        run.call([str(mmdebstrap), *options, "trixie", str(root), source], env=env)
        _write_program(new / "bin/skopeo", done / "root")
        new.rename(done)
    return done / "bin"


def _write_program(path: Path, root: Path) -> None:
    """It is started by its own loader, because its libraries are newer than those of this machine."""
    loader = [str(root / _LIBRARIES / "ld-linux-x86-64.so.2"), "--library-path", str(root / _LIBRARIES)]
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {shlex.join([*loader, str(root / "usr/bin/skopeo")])} "$@"\n')
    path.chmod(0o755)
