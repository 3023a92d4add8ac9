"""The scripts that set kernel arguments, in the root of an image, with files as distributions have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import CommandFailed
from provisioner.process import run
from provisioner.roles.site.kernel import EDIT_ENTRIES, EDIT_GRUB

ARGUMENTS = ("quiet", "mitigations=auto", "a.b=1,2")
# As update-grub writes it: with tabs, and the same kernel several times.
GRUB = """\
set default="0"
menuentry 'Debian GNU/Linux' --class debian {
\tsearch --no-floppy --fs-uuid --set=root 1
\tlinux\t/boot/vmlinuz-6.1 root=PARTUUID=2 ro console=ttyS0 quiet
\tinitrd\t/boot/initrd.img-6.1
}
submenu 'Advanced options' {
\tmenuentry 'recovery' {
\t\techo\t'Loading Linux 6.1 ...'
\t\tlinux\t/boot/vmlinuz-6.1 root=PARTUUID=2 ro single mitigations=auto,nosmt
\t}
\tmenuentry 'efi' {
\t\tlinuxefi /boot/vmlinuz-6.1 ro \n\t}
}
"""
ADDED = (
    GRUB.replace("ttyS0 quiet\n", "ttyS0 quiet mitigations=auto a.b=1,2\n")
    .replace("auto,nosmt\n", "auto,nosmt quiet mitigations=auto a.b=1,2\n")
    .replace("6.1 ro \n", "6.1 ro  quiet mitigations=auto a.b=1,2\n")
)
# EL7's, before any argument, and with a comment that looks like it.
DEFAULT = '#GRUB_CMDLINE_LINUX="x"\nGRUB_CMDLINE_LINUX="console=tty0 quiet"\nGRUB_DISABLE="true"\n'
GRUBBY = "#!/bin/sh\nprintf '%s\\n' \"$@\" >>/grubby\n"


def edit(root: Path, script: str) -> None:
    run.call(["chroot", str(root), "sh", "-ec", script, "arguments", *ARGUMENTS])


def write(root: Path, path: str, text: str, mode: int = 0o644) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("folder", ["boot", "efi", "boot/efi"])
def test_every_kernel_of_grub_gets_each_argument_once(worker_root: Path, folder: str) -> None:
    file = write(worker_root, f"{folder}/grub/grub.cfg", GRUB, 0o600)
    for _ in range(2):
        edit(worker_root, EDIT_GRUB)
        assert file.read_text() == ADDED
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["grub.cfg"]


def test_entries_of_the_boot_loader_specification_are_edited(worker_root: Path) -> None:
    write(worker_root, "efi/grub/grub.cfg", GRUB)
    entry = "title x\nlinux /x/vmlinuz\noptions console=tty0 quiet\ninitrd /x/initrd\n"
    file = write(worker_root, "efi/loader/entries/x.conf", entry)
    edit(worker_root, EDIT_GRUB)
    assert file.read_text() == entry.replace("tty0 quiet", "tty0 quiet mitigations=auto a.b=1,2")


def test_a_machine_without_grub_is_refused(worker_root: Path) -> None:
    write(worker_root, "boot/grub/grub.cfg", "configfile /other.cfg\n")
    with pytest.raises(CommandFailed, match="No configuration of GRUB with a kernel was found"):
        edit(worker_root, EDIT_GRUB)


def test_on_el_later_kernels_get_them_too(worker_root: Path) -> None:
    write(worker_root, "usr/sbin/grubby", GRUBBY, 0o755)
    default = write(worker_root, "etc/default/grub", DEFAULT)
    cmdline = write(worker_root, "etc/kernel/cmdline", "root=UUID=1 ro console=tty0\n")
    for _ in range(2):
        edit(worker_root, EDIT_ENTRIES)
        more = "quiet mitigations=auto a.b=1,2"
        assert default.read_text() == DEFAULT.replace('tty0 quiet"', f'tty0 {more}"')
        assert cmdline.read_text() == f"root=UUID=1 ro console=tty0 {more}\n"
    told = (worker_root / "grubby").read_text().splitlines()
    assert told == ["--update-kernel=ALL", f"--args={' '.join(ARGUMENTS)}"] * 2
    # An image without them has grubby's entries only.
    default.write_text('GRUB_CMDLINE_LINUX=""\n')
    cmdline.unlink()
    edit(worker_root, EDIT_ENTRIES)
    assert default.read_text() == 'GRUB_CMDLINE_LINUX=" quiet mitigations=auto a.b=1,2"\n'
    assert not cmdline.exists()
