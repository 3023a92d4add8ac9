"""How long an image takes: our engines beside plain packer and mkosi, in one run on one machine.

    scripts/bench bake

All start from the same base (mkosi: from nothing, as it does), with empty package caches, the same
mirror and the same packages, and end with a zstd qcow2. Plain packer is a template as one writes it by
hand, with a shell script; it boots the base by the accelerator that works here. Ten minutes without KVM.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bakery.image import mkosi, recipe
from bakery.image.mkosi import Build
from bakery.machines import accelerator as accelerators
from bakery.machines.accelerator import Accelerator
from bakery.machines.vm import new_key
from bakery.runtime import data, qemu_img
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store, default_root
from bakery.userdata.delivery import nocloud
from provisioner.actions import Run
from provisioner.disk.file_systems import mount_root
from provisioner.events import Silent
from provisioner.process import run as processes
from tests.bench import cached_base
from tests.bench.cached_base import BASE, store_with_base

CHANGED = "worker/osg/etc/motd.d/changed"


@dataclass(frozen=True)
class Took:
    name: str
    seconds: float
    mib: float  # of the image


def main() -> None:
    cached_base.provide()
    with TemporaryDirectory(prefix="bench-bake-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
        rows: list[Took] = []
        for took in all_of(folder):
            rows.append(took)
            times = took.seconds / rows[0].seconds
            print(
                f"{took.name:<34} {took.seconds:8.1f} s  {times:6.2f}  {took.mib:5.0f} MiB"
                f"  load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


def all_of(folder: Path) -> Iterator[Took]:
    """The first is what the others are measured by."""
    env = {"WORKER_BAKERY_CACHE": str(store_with_base(folder / "cache").root)}
    yield timed("bake-image, chroot, cold", lambda: bake(env, "--engine", "chroot"))
    yield timed("bake-image, unchanged", lambda: bake(env))
    yield timed("bake-image, unchanged, nobody asked", lambda: bake(env, "--refresh", "never"))
    changed = {**env, "PYTHONPATH": changed_checkout(folder / "changed")}
    yield timed("bake-image, last role changed", lambda: bake(changed, "--engine", "chroot"))
    yield mkosi_alone(folder)
    if shutil.which("packer"):
        yield from packers(folder)


def packers(folder: Path) -> Iterator[Took]:
    accelerator = best(folder)
    env = {"WORKER_BAKERY_CACHE": str(store_with_base(folder / "cache-packer").root)}
    ours = "--engine", "packer", "--accel", accelerator.name
    yield timed("bake-image, packer, cold", lambda: bake(env, *ours))
    yield plain_packer(folder, accelerator)


def timed(name: str, work: Callable[[], Path]) -> Took:
    """Of work that leaves an image."""
    started = time.perf_counter()
    image = work()
    return Took(name, time.perf_counter() - started, image.stat().st_size / 2**20)


def run(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        argv, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{argv[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout.strip()


def bake(env: Mapping[str, str], *argv: str) -> Path:
    """The image in the store."""
    return Path(run([sys.executable, "-P", "-m", "bakery.commands.bake", "--verify", "none", *argv], env))


def changed_checkout(folder: Path) -> str:
    """With one file more in the runtime, so that the last role but the seal is another one."""
    for name in ("bakery", "provisioner", "packer", "worker", "cloud-init", "tests/image"):
        shutil.copytree(data.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / CHANGED).parent.mkdir(parents=True)
    (folder / CHANGED).write_text("a changed worker\n")
    return str(folder)


def packages() -> list[str]:
    """What the plan installs, by name."""
    installs = [
        action.argv
        for step in recipe.plan(BASE, "osg").steps
        for action in step.actions
        if isinstance(action, Run) and "install" in action.argv and "apt-get" in action.argv
    ]
    return sorted({name for argv in installs for name in argv[argv.index("install") + 1 :]})


# --- mkosi ---------------------------------------------------------------------------------------


def mkosi_alone(folder: Path) -> Took:
    """The base's packages and the worker's in one build."""
    assert isinstance(BASE.source, Build)
    build = replace(BASE.source, packages=(*BASE.source.packages, *packages()))
    where, cache, image = folder / "mkosi", folder / "mkosi-packages", folder / "mkosi.qcow2"
    for path in (cache, folder / mkosi.WORKSPACE):
        path.mkdir()
    for name, text in mkosi.files(build, find_mirror(), cache).items():
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_text(text)

    def work() -> Path:
        run(processes.sandbox_argv(["mkosi", "--directory", str(where), "--force", "build"]))
        with qemu_img.compressed(where / "out" / "base.raw", image):
            pass
        return image

    return timed("mkosi, the same packages", work)


# --- packer, as one uses it without us -----------------------------------------------------------


def best(folder: Path) -> Accelerator:
    with mounted(folder) as root:
        return accelerators.choose("auto", accelerators.find_kernel(root), folder, Silent())


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    disk, root = folder / "base.raw", folder / "root"
    root.mkdir()
    qemu_img.to_raw(Store(default_root()).base(BASE.id), disk)
    mount_root(disk, root, read_only=True)
    try:
        yield root
    finally:
        run(["umount", str(root)])
        disk.unlink()


def plain_packer(folder: Path, accelerator: Accelerator) -> Took:
    key, seed, built = new_key(folder), folder / "seed.iso", folder / "packer-out"
    public = key.with_suffix(".pub").read_text().strip()
    nocloud.write_seed(seed, user_data="", instance_id="iid-b", hostname="plain", public_keys=[public])
    (folder / "install.sh").write_text(script())
    template, image = folder / "plain.json", folder / "plain.qcow2"
    template.write_text(json.dumps(plain_template(folder, key, seed, built, accelerator)))

    def work() -> Path:
        env = {"CHECKPOINT_DISABLE": "1", "PACKER_CACHE_DIR": str(folder / "packer-cache")}
        run(["packer", "build", str(template)], env)
        options = ["-c", "-o", "compression_type=zstd"]
        run(["qemu-img", "convert", "-O", "qcow2", *options, str(built / "plain"), str(image)])
        return image

    return timed("packer build, a shell script", work)


def script() -> str:
    """apt from this machine's mirror, and the packages by name."""
    release = BASE.source.release if isinstance(BASE.source, Build) else ""
    sources = find_mirror().sources(release)
    return (
        "set -e\nexport DEBIAN_FRONTEND=noninteractive\ncloud-init status --wait || true\n"
        "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*\n"
        f"cat >/etc/apt/sources.list.d/bench.sources <<'EOF'\n{sources}\nEOF\n"
        "apt-get -q -y update\napt-get -q -y upgrade\n"
        f"apt-get -q -y --no-install-recommends install {' '.join(packages())}\napt-get clean\n"
    )


def plain_template(
    folder: Path, key: Path, seed: Path, built: Path, accelerator: Accelerator
) -> dict[str, object]:
    qemuargs = [
        ["-cpu", "host" if accelerator.name == "kvm" else "max"],
        ["-smp", "2"],
        ["-m", "2048M"],
        ["-serial", f"file:{folder / 'plain.log'}"],
        ["-drive", f"file={built}/plain,if=virtio,format=qcow2,cache=unsafe,discard=unmap"],
        ["-drive", f"file={seed},media=cdrom,format=raw,readonly=on"],
        ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
    ]
    builder = {
        "type": "qemu",
        "disk_image": True,
        "iso_url": str(Store(default_root()).base(BASE.id)),
        "iso_checksum": "none",
        "format": "qcow2",
        "disk_size": "8G",
        "output_directory": str(built),
        "vm_name": "plain",
        "headless": True,
        "disable_vnc": True,
        "accelerator": accelerator.name,
        "machine_type": "q35",
        "net_device": "virtio-net-pci",
        "ssh_username": BASE.login,
        "ssh_private_key_file": str(key),
        "ssh_timeout": "30m",
        "shutdown_command": "sudo poweroff",
        "shutdown_timeout": "10m",
        "qemuargs": qemuargs,
    }
    execute = "chmod +x {{ .Path }}; sudo sh {{ .Path }}"
    install = {
        "type": "shell",
        "script": str(folder / "install.sh"),
        "execute_command": execute,
    }
    return {"builders": [builder], "provisioners": [install]}


if __name__ == "__main__":
    main()
