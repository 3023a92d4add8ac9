"""Commands whose programs see another day, by libfaketime: those of this machine, and those in an image.

Two kinds of programs see the real time: our own Python, which libfaketime hinders from sleeping, and apt
with the programs that verify signatures, because the package lists of a mirror expire.
"""

from __future__ import annotations

import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

_DAYS = 400
SETTINGS = {
    "FAKETIME": f"+{_DAYS}d",
    "FAKETIME_SKIP_CMDS": "apt-get,apt,gpgv,sqv,http,https,store,file,copy,rred",
    # Neither intervals nor the times of files: of these, a copy would be later than its source.
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "NO_FAKE_STAT": "1",
}
# Of this machine: what writes times to the disk of an image.
_TOOLS = ("mke2fs", "debugfs", "mcopy", "sfdisk", "qemu-img")
_TOOL = """\
#!/bin/sh
exec env {settings} LD_PRELOAD={library} {program} "$@"
"""
# The chroot(8) of this machine: in the image, the library is on the temporary file system of the bake.
_CHROOT = """\
#!/bin/sh
root=$1
shift
[ -d "$root/run/worker-bakery" ] || exec {program} "$root" "$@"
echo "$1" >>{log}
cp {library} "$root/run/worker-bakery/clock.so"
exec {program} "$root" /usr/bin/env {settings} LD_PRELOAD=/run/worker-bakery/clock.so "$@"
"""


@dataclass(frozen=True)
class Clock:
    """`prefix` begins a command, `env` is added to its environment. `log` names what ran in the image."""

    prefix: tuple[str, ...]
    env: dict[str, str]
    log: Path


def library() -> Path:
    """The library of Debian's and Fedora's package. Fails without it: scripts/setup installs it."""
    places = [Path("/usr").glob(f"{folder}/faketime/libfaketime.so.1") for folder in ("lib/*", "lib64")]
    [found] = [path for place in places for path in place]
    return found


def another_day(folder: Path) -> Clock:
    """A clock that is 400 days fast; `folder` is for its files."""
    log, tools = folder / "clock.log", folder / "bin"
    tools.mkdir()
    for name in _TOOLS:
        _write(tools / name, _TOOL, _program(name), log)
    where = _program("chroot")
    original = Path(shutil.copy2(where, folder / "chroot.original"))
    _write(folder / "chroot", _CHROOT, original, log)
    # A bake runs programs of the image with a PATH of its own.
    mount = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-ec", mount, "sh", str(folder / "chroot"), str(where.resolve()))
    return Clock(prefix, {"PATH": f"{tools}:{os.environ['PATH']}"}, log)


def _program(name: str) -> Path:
    found = shutil.which(name)
    assert found, name
    return Path(found)


def _write(path: Path, script: str, program: Path, log: Path) -> None:
    paths = {"program": program, "library": library(), "log": log}
    words = {name: shlex.quote(str(value)) for name, value in paths.items()}
    settings = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
    path.write_text(script.format(settings=settings, **words))
    path.chmod(0o755)
