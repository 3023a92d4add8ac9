"""Broken worker images, and the message with which verification fails.

DEFECTS are those that a race could hide; LEFT_IN is what two machines of an image must not share.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bakery.runtime import qemu_img, sandbox
from provisioner.disk.file_systems import mount_root
from provisioner.events import Silent
from provisioner.process import run
from provisioner.targets.chroot import mount_kernel_file_systems

RUNTIME = "usr/lib/worker-bakery/worker_runtime"
WANTS = "etc/systemd/system/multi-user.target.wants"


@dataclass(frozen=True)
class Break:
    """A replacement in a file of the image's root, or the removal of the file."""

    path: str
    old: str  # "": remove the file
    new: str
    message: str  # a part of the expected failure message


DEFECTS: Mapping[str, Break] = MappingProxyType(
    {
        "the watch is disabled": Break(
            # The test's id ends with the unit, after the host.
            f"{WANTS}/worker-life.service",
            "",
            "",
            "-worker-life.service]",
        ),
        "START lacks the image's guard": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            'found = ["MY.NODE_IS_HEALTHY =?= True"]',
            "found = []",
            "test_start_is_the_conjunction_of_the_image_s_and_the_user_s",
        ),
        "the token's file is world-readable": Break(
            f"{RUNTIME}/configuration/configure.py",
            "files.put(kind.token_file, secret, 0o600)",
            "files.put(kind.token_file, secret, 0o644)",
            "test_token_file_is_readable_by_root_only",
        ),
        "START is only the user's": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            'return " && ".join("( %s )" % part for part in parts)',
            "return wanted",
            "test_start_is_the_conjunction_of_the_image_s_and_the_user_s",
        ),
        "the group name is wrong": Break(
            f"{RUNTIME}/configuration/condor_config.py",
            "found[key.advertise] = quote(values[key.setting])\n    if requirements",
            'found[key.advertise] = quote(values[key.setting] + "s")\n    if requirements',
            "test_advertised_attributes_have_the_exact_values",
        ),
        "jobs can reach the metadata service": Break(
            "usr/lib/systemd/system/worker-metadata-guard.service",
            "ExecStart=",
            "ExecStart=/bin/true ",
            "test_metadata_service_is_blocked_for_all_but_root",
        ),
    }
)


@dataclass(frozen=True)
class LeftIn:
    """What sealing should have removed: a shell script puts it into the image's root."""

    script: str
    shared: str  # a part of the message with which the level clone fails
    remedy: str  # a part of what it says to do


_CONFIG = "/etc/cloud/cloud.cfg.d/99-left.cfg"
_ID = "0123456789abcdef0123456789abcdef"
_STATE = """\
mkdir -p /var/lib/cloud/instances/iid-left/sem /var/lib/cloud/data
ln -s instances/iid-left /var/lib/cloud/instance
echo iid-left >/var/lib/cloud/data/instance-id
"""
# cloud-init itself writes the state of an instance, which it is told to trust at the next boot.
_TRUSTED = f"""\
seed=/var/lib/cloud/seed/nocloud
mkdir -p $seed
echo 'instance-id: iid-left' >$seed/meta-data
touch $seed/user-data
echo 'datasource_list: [NoCloud]' >{_CONFIG}
cloud-init init --local
rm -r $seed
printf 'manual_cache_clean: true\n' >>{_CONFIG}
"""
LEFT_IN: Mapping[str, LeftIn] = MappingProxyType(
    {
        "machine-id": LeftIn(
            f"echo {_ID} >/etc/machine-id", f"machine-id {_ID}: ", "must be `uninitialized`"
        ),
        "D-Bus id": LeftIn(
            f"rm -f /var/lib/dbus/machine-id; echo {_ID} >/var/lib/dbus/machine-id",
            f"D-Bus id {_ID}: ",
            "Remove /var/lib/dbus/machine-id",
        ),
        "host name": LeftIn(
            f"echo left-in >/etc/hostname; echo 'preserve_hostname: true' >{_CONFIG}",
            "host name left-in: ",
            "Remove /etc/hostname from the image, and preserve_hostname",
        ),
        "ssh host key": LeftIn(
            "ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key;"
            f" echo 'ssh_deletekeys: false' >{_CONFIG}",
            "ssh host key ED25519 SHA256:",
            "Remove /etc/ssh/ssh_host_*",
        ),
        "random seed": LeftIn(
            "printf %0512d 7 >/var/lib/systemd/random-seed",
            "random seed ",
            "Remove /var/lib/systemd/random-seed",
        ),
        "state of an instance": LeftIn(_STATE, "cloud-init instance iid-left: ", "Remove /var/lib/cloud/*"),
        "state of an instance, trusted": LeftIn(
            _TRUSTED, "Last answer: ['iid-left']", "remove /var/lib/cloud/* from the image"
        ),
    }
)


@contextmanager
def broken(image: Path, defect: str, folder: Path) -> Iterator[Path]:
    """Yield a copy of the image with this defect; remove it after the block."""
    made = folder / "broken.qcow2"
    command = [sys.executable, "-m", "tests.broken", str(image), str(made), defect]
    sandbox.run_module(command, b"", Silent())
    yield made
    made.unlink()


def make(image: Path, made: Path, defect: Break | LeftIn) -> None:
    """Write a copy of the image with this defect. Requires a sandbox."""
    disk, root = made.with_suffix(".raw"), made.with_suffix(".root")
    qemu_img.to_raw(image, disk)
    root.mkdir()
    mount_root(disk, root)
    if isinstance(defect, LeftIn):
        mount_kernel_file_systems(root)
        run.call(["chroot", str(root), "sh", "-ec", defect.script])
    else:
        _break(root, defect)
    run.call(["umount", "--recursive", str(root)])
    root.rmdir()
    qemu_img.to_qcow2(disk, made)
    disk.unlink()


def _break(root: Path, defect: Break) -> None:
    path = root / defect.path
    if defect.old:
        text = path.read_text()
        assert text.count(defect.old) == 1, (
            f"{defect.path} has {defect.old!r} {text.count(defect.old)} times"
        )
        path.write_text(text.replace(defect.old, defect.new))
    else:
        path.unlink()


if __name__ == "__main__":
    known: dict[str, Break | LeftIn] = {**DEFECTS, **LEFT_IN}
    make(Path(sys.argv[1]), Path(sys.argv[2]), known[sys.argv[3]])
    print(json.dumps({"event": "result"}))
