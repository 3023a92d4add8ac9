"""Commands for which it is another day, by libfaketime: for their children, and in the root of an image.

chroot(8) is replaced in a mount namespace of the command: it gives the library to what it starts. apt and
the programs that verify signatures see the real time, because the package lists of a mirror expire.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

_DAYS = 400
_APT = "apt-get,apt,gpgv,sqv,http,https,store,file,copy,rred"
SETTINGS = {
    "FAKETIME": f"+{_DAYS}d",
    "FAKETIME_SKIP_CMDS": _APT,
    # Neither intervals nor the times of files: of these, a copy would be later than its source.
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "NO_FAKE_STAT": "1",
}
# In the image, the library is on the temporary file system of the bake.
_CHROOT = """\
#!/bin/sh
root=$1
shift
[ -d "$root/run/worker-bakery" ] || exec {chroot} "$root" "$@"
echo "$1" >>{log}
cp {library} "$root/run/worker-bakery/clock.so"
exec {chroot} "$root" /usr/bin/env {settings} LD_PRELOAD=/run/worker-bakery/clock.so "$@"
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
    there, program = shutil.which("chroot"), folder / "chroot"
    assert there
    where = Path(there).resolve()
    original = Path(shutil.copy2(where, folder / "chroot.original"))
    settings = " ".join(f"{name}={value}" for name, value in SETTINGS.items())
    log = folder / "clock.log"
    words = {"chroot": original, "library": library(), "log": log}
    text = _CHROOT.format(
        settings=settings, **{name: shlex.quote(str(path)) for name, path in words.items()}
    )
    program.write_text(text)
    program.chmod(0o755)
    mount = 'mount --bind "$1" "$2"; shift 2; exec "$@"'
    prefix = ("unshare", "--mount", "sh", "-ec", mount, "sh", str(program), str(where))
    return Clock(prefix, {**SETTINGS, "LD_PRELOAD": str(library())}, log)
