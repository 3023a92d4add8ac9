"""A disk as EL's are, an EFI partition, /boot and a root of xfs, baked by the chroot engine and booted.

The disk is made here, of the embedded base's own files and packages; no vendor's image can be reached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime import mirror, qemu_img
from bakery.store.locks import exclusive_lock
from bakery.store.store import Store
from provisioner.disk.file_systems import finish, mount_root, wait_unmounted
from provisioner.targets.chroot import Chroot, TemporaryRepositories
from tests.conftest import BASE, VENDOR, Ended, Folders, command
from tests.shapes import ESP, LINUX, Part, call, make

# Emulated on a busy machine, udev finds a disk later than the 90 s that systemd waits for one.
FSTAB = """\
LABEL=root / xfs defaults 0 0
LABEL=boot /boot ext4 x-systemd.device-timeout=900 0 2
LABEL=EFI /boot/efi vfat umask=0077,x-systemd.device-timeout=900 0 2
"""
EARLY = """\
search --no-floppy --set=root --label boot
configfile ($root)/grub/grub.cfg
"""
GRUB = """\
linux /vmlinuz-{kernel} root=LABEL=root ro console=tty0 console=ttyS0,115200 loglevel=5 \
    systemd.default_device_timeout_sec=900
initrd /initrd.img-{kernel}
boot
"""
MODULES = ("part_gpt", "fat", "ext2", "search", "search_label", "configfile", "normal", "linux", "gzio")


@pytest.fixture(scope="module")
def folder(folders: Folders) -> Iterator[Path]:
    made = folders("shape")
    yield made
    call("rm", "-rf", "--one-file-system", made)  # some GiB


@pytest.fixture(scope="module")
def base(folder: Path, baked: dict[str, Any], store: Store) -> Path:
    """The base's TOML file."""
    disk, image = folder / "disk.raw", folder / "xfs-stand-in.qcow2"
    parts = (
        Part(ESP, 64, ("mkfs.vfat", "-n", "EFI")),
        Part(LINUX, 256, ("mkfs.ext4", "-q", "-L", "boot"), lambda root: (root / "efi").mkdir()),
        Part(LINUX, 2500, ("mkfs.xfs", "-q", "-L", "root"), lambda root: copy_base(store, folder, root)),
    )
    make(disk, parts)
    make_bootable(disk, folder, store)
    qemu_img.to_qcow2(disk, image)
    disk.unlink()
    text = VENDOR.format(url=f"file://{image}", digest=hashlib.sha256(image.read_bytes()).hexdigest())
    text = text.replace('["bios"]', '["efi"]').replace("[image]", 'release = "trixie"\n[image]')
    (folder / "xfs-stand-in.toml").write_text(text)
    return folder / "xfs-stand-in.toml"


def copy_base(store: Store, folder: Path, root: Path) -> None:
    raw, source = folder / "base.raw", folder / "base"
    qemu_img.to_raw(store.base(BASE.id), raw)
    source.mkdir()
    mount_root(raw, source, read_only=True)
    call("cp", "-a", f"{source}/.", root)
    call("umount", source)
    raw.unlink()
    (root / "etc/fstab").write_text(FSTAB)


def make_bootable(disk: Path, folder: Path, store: Store) -> None:
    """Kernel and initrd in /boot, grub in the EFI partition, and what grows an xfs in the root."""
    root = folder / "root"
    root.mkdir()
    filled = mount_root(disk, root)
    release = "trixie"
    sources, preferences = mirror.find().sources(release), mirror.preferences(release)
    packages = store.packages(release)
    target = Chroot(root, TemporaryRepositories(sources, preferences, packages))
    try:
        with exclusive_lock(packages):  # apt allows one writer
            install(target, root)
        grub(root / "boot", folder)
        finish(filled)
    finally:
        target.close()
        call("umount", root)
        wait_unmounted(disk)


def install(target: Chroot, root: Path) -> None:
    kernel = next((root / "usr/lib/modules").iterdir()).name
    call("cp", root / "usr/lib/modules" / kernel / "vmlinuz", root / f"boot/vmlinuz-{kernel}")
    for argv in (
        ("apt-get", "-q", "update"),
        ("apt-get", "-q", "-y", "--no-install-recommends", "install", "xfsprogs"),
        ("update-initramfs", "-c", "-k", kernel),
    ):
        target.run(argv, lambda line: None)


def grub(boot: Path, folder: Path) -> None:
    kernel = next(boot.glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
    (boot / "grub").mkdir()
    (boot / "grub/grub.cfg").write_text(GRUB.format(kernel=kernel))
    (folder / "early.cfg").write_text(EARLY)
    (boot / "efi/EFI/BOOT").mkdir(parents=True)
    loader = boot / "efi/EFI/BOOT/BOOTX64.EFI"
    early = ("-p", "/grub", "-c", folder / "early.cfg")
    call("grub-mkimage", "-O", "x86_64-efi", *early, "-o", loader, *MODULES)


def bake(base: Path, store: Store, level: str) -> Ended:
    """Into a cache of its own, with the packages of the usual one."""
    own = base.parent / "cache"
    own.mkdir(exist_ok=True)
    if not (own / "packages").exists():
        (own / "packages").symlink_to(store.root / "packages")
    argv = ("--base", str(base), "--verify", level, "--json")
    done = command("bake-image", *argv, env={"WORKER_BAKERY_CACHE": str(own)})
    assert done.status == 0, done.err[-5000:]
    return done


def test_it_is_baked_in_place_with_its_boot_and_efi_partitions(
    base: Path, store: Store, folder: Path
) -> None:
    result = json.loads(bake(base, store, "offline").out)
    image = base.with_suffix(".qcow2")
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    assert before in base.read_text()
    qemu_img.to_raw(Path(result["path"]), folder / "baked.raw")
    where = folder / "baked"
    where.mkdir()
    try:
        mount_root(folder / "baked.raw", where, read_only=True)
        assert (where / "usr/sbin/condor_master").exists()
        assert list(where.glob("boot/vmlinuz-*"))
        assert (where / "boot/efi/EFI/BOOT/BOOTX64.EFI").exists()
    finally:
        call("umount", "-R", where)
        (folder / "baked.raw").unlink()


# Another machine: test_proof.py boots by EFI in each run, the test above has the partitions and the loader.
@pytest.mark.full
def test_it_boots_by_efi_with_all_its_file_systems_and_grows(base: Path, store: Store) -> None:
    """A file system that is not mounted would be a failed unit, which the image's tests see."""
    proof = json.loads(bake(base, store, "boot").out)["proof"]["boot"]
    assert proof["checks"][0]["what"] == "booted (efi), ssh answered"
