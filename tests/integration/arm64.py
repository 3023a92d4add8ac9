"""arm64 on this machine: QEMU's emulator from Debian, and a stand-in for a base of Debian's packages.

Nothing of it is installed; what was downloaded is kept in the cache of tests/integration/docker_here.py.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.engines import emulation
from bakery.runtime import digest, mirror, qemu_img
from provisioner.process import run
from tests.integration.docker_here import CACHE, programs

ARCHITECTURE = "aarch64"
_REGISTERED = Path("/proc/sys/fs/binfmt_misc")
# As in Debian's package; F: the kernel keeps the interpreter open, so that it works in any root directory.
_MAGIC = rb"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_PACKAGES = ("apt", "ca-certificates", "dbus", "e2fsprogs", "iproute2", "python3", "systemd-sysv", "udev")
_BASE = """
name = "debian13-arm64"
title = "Debian 13 for arm64, a stand-in without a kernel"
family = "debian"
architecture = "aarch64"
release = "trixie"
end_of_life = 2030-01-01
login = "debian"
firmware = ["efi"]
tested = false
[image]
url = "file://{path}"
sha256 = "{digest}"
"""


@contextmanager
def emulator() -> Iterator[None]:
    """Programs of arm64 run while the block runs."""
    if emulation.runs(ARCHITECTURE):
        yield
        return
    if not (_REGISTERED / "register").exists():
        run.call(["mount", "-t", "binfmt_misc", "none", str(_REGISTERED)])
    entry = b":qemu-aarch64:M::" + _MAGIC + b":" + _MASK + b":" + os.fsencode(_qemu()) + b":PF"
    (_REGISTERED / "register").write_bytes(entry)
    try:
        yield
    finally:
        (_REGISTERED / "qemu-aarch64").write_text("-1")


def _qemu() -> Path:
    """QEMU's emulator: the one of Debian 12 is older than the system that it is to run."""
    folder = CACHE / "qemu-user"
    if not folder.exists():
        new = CACHE / f"qemu-user-{os.getpid()}"
        new.mkdir(parents=True)
        newer = "/bookworm-backports" if platform.freedesktop_os_release()["VERSION_ID"] == "12" else ""
        run.call(
            ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", f"qemu-user{newer}"], cwd=new
        )
        [package] = new.glob("*.deb")
        run.call(["dpkg", "-x", str(package), str(new)])
        package.unlink()
        new.rename(folder)
    return folder / "usr/bin/qemu-aarch64"


def base(folder: Path) -> Path:
    """The TOML file of a base, with its disk, in the folder. The emulator is registered."""
    root, disk, path = folder / "root", folder / "disk.raw", folder / "disk.qcow2"
    root.mkdir()
    run.call(["tar", "-xf", str(_root()), "--numeric-owner", "-C", str(root)])
    (root / "etc/resolv.conf").unlink(missing_ok=True)  # of this machine
    disk.touch()
    os.truncate(disk, 3 * 2**30)
    run.call(
        ["sfdisk", "-q", str(disk)],
        stdin=b"label: gpt\nstart=1MiB, type=B921B045-1DF0-41C3-AF44-4C6F280D3FAE\n",
    )
    run.call(["mke2fs", "-q", "-t", "ext4", "-d", str(root), "-E", "offset=1048576", str(disk), "3000M"])
    qemu_img.to_qcow2(disk, path)
    disk.unlink()
    run.call(["rm", "-rf", "--one-file-system", str(root)])
    described = folder / "debian13-arm64.toml"
    described.write_text(_BASE.format(path=path, digest=digest.of(path)))
    return described


def _root() -> Path:
    made = CACHE / "debian-13-arm64.tar"
    if not made.exists():
        sources = [f"deb {mirror.find().main} {suite} main" for suite in ("trixie", "trixie-updates")]
        new = made.with_name(f"debian-13-arm64-{os.getpid()}.tar")
        command = [str(programs() / "usr/bin/mmdebstrap"), "--variant=minbase", "--mode=root"]
        options = ["--architectures=arm64", "--skip=check/qemu", f"--include={','.join(_PACKAGES)}"]
        env = {**os.environ, "PATH": f"{programs() / 'usr/bin'}:{os.environ['PATH']}"}
        run.call([*command, *options, "trixie", str(new), *sources], env=env)
        new.rename(made)
    return made
