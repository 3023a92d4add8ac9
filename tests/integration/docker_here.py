"""A Docker daemon of Debian's packages for tests: nothing of it is installed on this machine.

The packages are unpacked in the user's cache, and kept there. By default the daemon has no bridge and no
rules of iptables: containers use the network of this machine (--network host). A daemon on a network of
tests has a bridge, too: its containers reach the pool there without translation of addresses.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from bakery.machines.network import Network, on
from bakery.runtime import digest, mirror
from bakery.runtime.conditions import Condition, wait
from provisioner.process import run

CACHE = platformdirs.user_cache_path("worker-bakery-tests-docker")
_PACKAGES = ("docker.io", "containerd", "runc", "tini", "mmdebstrap")
_PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"
# runc refuses to give a container capabilities that this machine lacks, as CAP_SYS_RESOURCE in a sandbox.
_RUNC = """\
#!{python}
import json, os, sys
argv = sys.argv[1:]

def value(*names):
    for here, after in zip(argv, argv[1:] + [""]):
        if here in names:
            return after
        if here.partition("=")[0] in names:
            return here.partition("=")[2]
    return ""

def limit(path, *keys):
    with open(path) as file:
        data = json.load(file)
    found = data
    for key in keys:
        found = found.get(key) or {{}}
    for name, kept in found.items():
        found[name] = [each for each in kept if each not in {lacking!r}]
    with open(path, "w") as file:
        json.dump(data, file)

if {{"create", "run"}} & set(argv):
    limit(os.path.join(value("--bundle", "-b"), "config.json"), "process", "capabilities")
if "exec" in argv and value("--process", "-p"):
    limit(value("--process", "-p"), "capabilities")
os.execv({runc!r}, ["runc", *argv])
"""
# What the daemon sees in the place of these folders of this machine, in its own mount namespace.
_IN_ITS_FOLDERS = """\
set -eu
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$2"; fi
    mount --bind "$1" "$2"
    shift 2
done
shift
exec "$@"
"""
# Any user and group of Debian; Docker switches user namespaces off for root.
_REMAPPED = ("nobody", "nogroup")
BRIDGE, _BRIDGE_ADDRESS = "docker-here", "172.31.250.1/24"
# As Docker does for its own bridge. Otherwise it has the lowest address of its ports, which changes when a
# container comes or goes: the connections of all others stand still for up to a minute.
_BRIDGE_MAC = "02:42:ac:1f:fa:01"
# linux/capability.h, as far as sandboxes of CI systems withhold it.
_CAPABILITIES = {"CAP_SYS_RESOURCE": 24, "CAP_SYS_TIME": 25, "CAP_AUDIT_CONTROL": 30, "CAP_MAC_ADMIN": 33}


@dataclass(frozen=True)
class Host:
    """The machine that a daemon is on: its network (None: this machine's) and its folders.

    `folders` are paths of the machine and what is there instead: volumes of a documented command line are
    then not this machine's. With `remapped`, root of a container is this number on the machine.
    """

    network: Network | None = None
    folders: Mapping[str, Path] = field(default_factory=dict)
    remapped: int = 0


THIS_MACHINE = Host()


@dataclass(frozen=True)
class Docker:
    """A running daemon; `call` runs its client."""

    programs: Path
    socket: Path

    def argv(self, *words: str) -> list[str]:
        return [str(self.programs / "usr/bin/docker"), "-H", f"unix://{self.socket}", *words]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the client to its end; the caller looks at the status."""
        return subprocess.run(self.argv(*words), capture_output=True, text=True, check=False)


def programs() -> Path:
    """The folder in which the packages are unpacked; downloads them once."""
    done = CACHE / "programs"
    if not done.exists():
        new = CACHE / f"programs-{os.getpid()}"
        new.mkdir(parents=True)
        run.call(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *_PACKAGES], cwd=new)
        for package in new.glob("*.deb"):
            run.call(["dpkg", "-x", str(package), str(new)])
            package.unlink()
        new.rename(done)
    return done


def debian_root() -> Path:
    """A tar of a minimal Debian 13, which stands for the image debian:13."""
    made = CACHE / "debian-13.tar"
    if not made.exists():
        sources = [f"deb {mirror.find().main} {suite} main" for suite in ("trixie", "trixie-updates")]
        new = made.with_name(f"debian-13-{os.getpid()}.tar")
        command = [str(programs() / "usr/bin/mmdebstrap"), "--variant=minbase", "--mode=root"]
        env = {**os.environ, "PATH": f"{programs() / 'usr/bin'}:{os.environ['PATH']}"}
        run.call([*command, "trixie", str(new), *sources], env=env)
        new.rename(made)
    return made


def wheels() -> Path:
    """The wheels that the builder image needs: a container has no certificate for PyPI here."""
    folder = CACHE / f"wheels-{digest.of(_PROJECT)[:12]}"
    if not folder.exists():
        new = CACHE / f"wheels-{os.getpid()}"
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
        project = tomllib.loads(_PROJECT.read_text())
        needed = project["project"]["dependencies"]
        pure = [name for name in needed if name.startswith("udocker")] + project["build-system"]["requires"]
        run.call([*pip, "wheel", "-w", str(new), *pure])
        platforms = [f"--platform=manylinux_{glibc}_x86_64" for glibc in ("2_17", "2_28", "2_34")]
        others = [name for name in needed if name not in pure]
        target = ["--only-binary=:all:", "--python-version=3.13", "--implementation=cp", *platforms]
        run.call([*pip, "download", "-d", str(new), *target, *others])
        new.rename(folder)
    return folder


@contextmanager
def daemon(folder: Path, host: Host = THIS_MACHINE) -> Iterator[Docker]:
    """Run a daemon that keeps everything in `folder` while the block runs."""
    where = programs()
    config = folder / "daemon.json"
    path = f"{where / 'usr/bin'}:{where / 'usr/sbin'}:{os.environ['PATH']}"
    argv = [str(where / "usr/sbin/dockerd"), "--config-file", str(config)]
    own = {**host.folders, **(_numbers(folder, host.remapped) if host.remapped else {})}
    volumes = [word for there, here in own.items() for word in (str(here), there)]
    inside = run.sandbox_argv(["sh", "-c", _IN_ITS_FOLDERS, "daemon", *volumes, "--", *argv])
    if host.network:
        _add_bridge(host.network)
    env = {**os.environ, "PATH": path}
    with _short_folder() as short:
        docker = Docker(where, short / "socket")
        config.write_text(json.dumps(_configuration(folder, short, where, host)))
        with run.background(on(host.network, inside), log=folder / "log", env=env):
            wait(Condition("an answer of dockerd", lambda: docker.call("info").returncode == 0, 120))
            yield docker


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder for the sockets of the daemon and of containerd, whose paths have at most 104 characters."""
    with tempfile.TemporaryDirectory(prefix="docker.", dir="/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)  # with user namespaces, root of a container enters it
        yield Path(name)


def _add_bridge(network: Network) -> None:
    """A bridge as that of Docker, which several daemons of a network share."""
    added = "ip link show $1 || ip link add $1 address $3 type bridge && ip address replace $2 dev $1"
    run.call(network.argv(["sh", "-c", added, "bridge", BRIDGE, _BRIDGE_ADDRESS, _BRIDGE_MAC]))
    run.call(network.argv(["ip", "link", "set", BRIDGE, "up"]))


def _numbers(folder: Path, first: int) -> dict[str, Path]:
    """Files that give _REMAPPED the numbers from `first` on, for its user namespaces (subuid(5))."""
    for name in ("subuid", "subgid"):
        (folder / name).write_text("".join(f"{owner}:{first}:65536\n" for owner in _REMAPPED))
    return {f"/etc/{name}": folder / name for name in ("subuid", "subgid")}


def _configuration(folder: Path, short: Path, where: Path, host: Host) -> dict[str, object]:
    wrapper = folder / "runc"
    runc = str(next(path for path in (where / "usr/sbin/runc", where / "usr/bin/runc") if path.exists()))
    wrapper.write_text(_RUNC.format(python=sys.executable, lacking=_lacking(), runc=runc))
    wrapper.chmod(0o755)
    return {
        "data-root": str(folder / "data"),
        "exec-root": str(short / "exec"),
        "pidfile": str(folder / "pid"),
        "hosts": [f"unix://{short / 'socket'}"],
        "bridge": BRIDGE if host.network else "none",
        "iptables": False,
        "ip6tables": False,
        "runtimes": {"here": {"path": str(wrapper)}},
        "default-runtime": "here",
        **({"userns-remap": ":".join(_REMAPPED)} if host.remapped else {}),
    }


def _lacking() -> list[str]:
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    mask = int(found[1], 16) if found else 0
    return [name for name, bit in _CAPABILITIES.items() if not mask >> bit & 1]
