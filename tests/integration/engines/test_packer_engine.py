"""The packer engine without a booting machine: the real packer, with a stand-in for QEMU."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from bakery.bake import build, lookup
from bakery.bake.options import Options
from bakery.engines.packer import build_files, temporary_repositories
from bakery.runtime import data, digest, qemu_img
from bakery.store.store import Store, commit
from provisioner.disk.file_systems import partitions
from provisioner.errors import Unreachable
from provisioner.events import Silent
from provisioner.process import run
from provisioner.roles.customization import Customization
from provisioner.targets import OnLine
from tests.conftest import BASE, BIN, VENDOR, command
from tests.integration.bake.test_bake import NOT_ROOT
from tests.integration.bake.test_kill import nothing_stays
from tests.shapes import ROOT, Part, make


@pytest.fixture
def small_store(tmp_path: Path) -> Store:
    """A store whose base is an empty disk, which no test here reads."""
    own, disk = Store(tmp_path / "cache"), tmp_path / "base.qcow2"
    run.call(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "16M"])
    manifest = {"base": BASE.name, "sha256": digest.of(disk), "size": disk.stat().st_size}
    commit(disk, own.base(BASE.id), {**manifest, "made": "2026-01-01T00:00:00+00:00"})
    return own


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The first folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def stand_in(programs: Path, name: str, script: str) -> None:
    path = programs / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def environment(store: Store, programs: Path) -> dict[str, str]:
    return {"WORKER_BAKERY_CACHE": str(store.root), "PATH": f"{programs}:{os.environ['PATH']}"}


QEMU_VERSION = 'case "$1" in -version|--version) echo "QEMU emulator version 10.0.2"; exit ;; esac\n'
ARGV = ("--engine", "packer", "--accel", "tcg", "--verify", "none")


def fails(store: Store, programs: Path, status: int, *says: str) -> str:
    done = command("bake-image", "-q", *ARGV, env=environment(store, programs))
    assert (done.status, done.out) == (status, ""), done.err
    assert done.err.startswith("error: ") or " warning: " in done.err
    assert "Traceback" not in done.err
    for text in says:
        assert text in done.err
    nothing_stays(store.root)
    assert list((store.root / "work").glob("*")) == []
    return done.err


def test_a_failing_qemu_is_reported_with_its_output(small_store: Store, programs: Path) -> None:
    stand_in(programs, "qemu-system-x86_64", QEMU_VERSION + "echo 'no such machine type' >&2; exit 3")
    fails(small_store, programs, 1, "qemu-system-x86_64", "status 3", "no such machine type")


def test_a_later_exit_of_qemu_is_detected_at_once(small_store: Store, programs: Path) -> None:
    """packer by itself would wait for ssh until its timeout of twenty minutes."""
    stand_in(programs, "qemu-system-x86_64", QEMU_VERSION + "sleep 4; echo 'out of memory' >&2; exit 1")
    fails(small_store, programs, 1, "status 1", "out of memory")


def test_another_port_is_used_if_the_first_is_taken(small_store: Store, programs: Path) -> None:
    taken = "echo \"-netdev user: Could not set up host forwarding rule 'tcp::1-:22'\" >&2; exit 1"
    once = f"[ -e {programs}/again ] || {{ touch {programs}/again; {taken}; }}\n"
    stand_in(programs, "qemu-system-x86_64", f"{QEMU_VERSION}{once}echo 'with another port' >&2; exit 3")
    err = fails(small_store, programs, 1, "status 3", "with another port")
    assert "forwarding" not in err


SERIAL = 'for word; do case "$word" in file:*) file=${word#file:} ;; esac; done\n'


def test_a_machine_without_ssh_times_out(
    small_store: Store, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Failed to start ssh.service"
    stand_in(
        programs, "qemu-system-x86_64", f'{QEMU_VERSION}{SERIAL}echo "{text}" >"$file"; exec sleep 600'
    )
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(build_files, "SSH_TIMEOUT", 1)
    options = Options(engine="packer", accelerator="tcg", level="none")
    with pytest.raises(Unreachable, match="Timed out waiting for ssh") as caught:
        lookup.bake(options, small_store, Silent())
    assert text in caught.value.message
    nothing_stays(small_store.root)


PANIC = "Kernel panic - not syncing: sysrq triggered crash"


def test_a_kernel_panic_ends_the_bake_at_once(small_store: Store, programs: Path) -> None:
    """packer by itself would wait for ssh until its timeout."""
    stand_in(
        programs, "qemu-system-x86_64", f'{QEMU_VERSION}{SERIAL}echo "{PANIC}" >"$file"; exec sleep 600'
    )
    fails(small_store, programs, 5, "The virtual machine failed.", PANIC)


BEGUN = '    qemu.worker: worker-bakery: {"event": "begin"%!(PACKER_COMMA) "name": "a step"}'
# Like packer: create the disk, run QEMU and our provisioner, and print its output.
IN_A_STEP = r"""
case "$*" in *version*) echo 1795340002,,version,1.6.6; exit ;; esac
for word; do case "$word" in -var-file=*) file=${word#-var-file=} ;; esac; done
value() { sed -n 's/^ "'$1'": "\(.*\)",*$/\1/p' "$file"; }
mkdir "$(value output)"
qemu-img create -q -f qcow2 -b "$(value base)" -F qcow2 "$(value output)/disk.qcow2"
"$(value qemu)" -serial "file:$(value serial)" &
echo "1795340002,,ui,say,$EVENT"
sleep 3
echo "$PANIC" >>"$(value serial)"
exec sleep 600
"""


def test_a_kernel_panic_in_a_step_is_detected_and_the_disk_is_kept(
    small_store: Store, programs: Path, tmp_path: Path
) -> None:
    """With the real QEMU, its processors stopped; the kept disk contains writes that it had not flushed."""
    machine = (
        "-S -accel tcg -nodefaults -display none -drive id=system,file=disk.qcow2,if=virtio,cache=unsafe"
    )
    real = run.call(["sh", "-c", "command -v qemu-system-x86_64"]).stdout.strip()
    stand_in(programs, "qemu-system-x86_64", f'exec {real} "$@" {machine}')
    stand_in(programs, "packer", f"PANIC='{PANIC}' EVENT='{BEGUN}'\n{IN_A_STEP}")
    output = tmp_path / "my worker.qcow2"
    argv = (*ARGV, "--keep-failed", "-o", str(output))
    done = command("bake-image", *argv, env=environment(small_store, programs))
    assert done.status == 5, done.err
    for text in ("The virtual machine failed.", PANIC, "Where: a step", "worker-bakery shell"):
        assert text in done.err
    kept = output.with_name("my worker.failed.qcow2")
    assert not qemu_img.other_files(kept)
    run.call(["qemu-img", "check", str(kept)])
    nothing_stays(small_store.root)
    assert list((small_store.root / "work").glob("*")) == []


def test_the_disk_of_a_failed_machine_is_kept_although_packer_removes_it(
    small_store: Store, programs: Path, tmp_path: Path
) -> None:
    writes = "qemu-io -c 'write -P 7 0 64k' disk.qcow2 >/dev/null; echo 'no memory' >&2; exit 3"
    stand_in(programs, "qemu-system-x86_64", QEMU_VERSION + writes)
    env = environment(small_store, programs)
    output = tmp_path / "worker.qcow2"
    done = command("bake-image", *ARGV, "--keep-failed", "-o", str(output), env=env)
    assert (done.status, "no memory" in done.err) == (1, True), done.err
    kept = output.with_name("worker.failed.qcow2")
    assert f"a shell in it: worker-bakery shell {kept}" in done.err
    assert "ssh keys" in done.err
    run.call(["qemu-io", "-r", "-c", "read -P 7 0 64k", str(kept)])
    assert not output.exists()
    nothing_stays(small_store.root)


def booting(store: Store, programs: Path) -> subprocess.Popen[str]:
    """Start a bake that waits for ssh on a machine that never boots."""
    stand_in(programs, "qemu-system-x86_64", QEMU_VERSION + "exec sleep 600")
    process = subprocess.Popen(
        [BIN / "bake-image", "--json", *ARGV],
        env={**os.environ, **environment(store, programs)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for row in process.stderr:
        if json.loads(row).get("name", "").startswith("boot the machine"):
            return process
    pytest.fail("the boot did not start")


def test_a_killed_packer_is_reported(small_store: Store, programs: Path) -> None:
    process = booting(small_store, programs)
    named = (str(small_store.root) + "/").encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has exited in the meantime
            arguments = path.read_bytes()
            if b"packer\0build\0" in arguments and named in arguments and b"unshare" not in arguments:
                os.kill(int(path.parent.name), signal.SIGKILL)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "packer exited before the image was finished and reported no error" in err
    nothing_stays(small_store.root)


def test_no_packer(small_store: Store, tmp_path: Path) -> None:
    """packer is not installed."""
    small_store.root.chmod(0o755)
    env = {"WORKER_BAKERY_CACHE": str(small_store.root), "PATH": str(tmp_path)}
    done = command("bake-image", "-q", *ARGV, env=env)
    assert done.status == 3
    assert "Missing on this machine: packer" in done.err


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ("1795340002,,version,1.5.1", "packer 1.5.1 is too old; 1.6.6 or later is required"),
        ("0 0", "is not HashiCorp's packer"),
        ("1795340002,,version,1.16.0", "The qemu plugin of packer is not installed: there is no "),
    ],
)
def test_an_unusable_packer(
    says: str, error: str, small_store: Store, programs: Path, tmp_path: Path
) -> None:
    stand_in(programs, "packer", f"echo '{says}'")
    env = {**environment(small_store, programs), "PACKER_PLUGIN_PATH": str(tmp_path / "plugins")}
    done = command("bake-image", "-q", *ARGV, env=env)
    assert (done.status, done.out) == (3, "")
    assert error in done.err


def test_killed(small_store: Store, programs: Path) -> None:
    """SIGKILL of bake-image: packer, its plugins and QEMU end as well."""
    process = booting(small_store, programs)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    nothing_stays(small_store.root)


def test_interrupted(small_store: Store, programs: Path) -> None:
    process = booting(small_store, programs)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    nothing_stays(small_store.root)
    assert list((small_store.root / "work").iterdir()) == []


# --- temporary repositories --------------------------------------------------------------------


class Here:
    """A target that is this machine."""

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        run.stream(argv, on_line)

    def put(self, path: str, data: bytes, mode: int) -> None:
        raise AssertionError(path)


def test_definitions_are_read_unchanged(tmp_path: Path) -> None:
    """By the script that runs on the machine. Symbolic links are skipped, such as dnf's yum.conf."""
    texts = {"a.repo": "[a]\n\nname=\ttwo  words\n", "b.repo": "[b]\nx=%s \\n $HOME\n", "c.repo": ""}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "d.repo").symlink_to("a.repo")
    found = temporary_repositories._read(
        (f"{tmp_path}/*.repo", f"{tmp_path}/none", f"{tmp_path}/*.none"), Here()
    )
    assert found == {str(tmp_path / name): texts[name] for name in ("a.repo", "b.repo")}
    assert temporary_repositories._read((f"{tmp_path}/none",), Here()) == {}


# --- packer alone ------------------------------------------------------------------------------


def test_the_files_for_packer_alone(small_store: Store, tmp_path: Path) -> None:
    folder, env = tmp_path / "it's alone", {"WORKER_BAKERY_CACHE": str(small_store.root)}
    done = command("bake-image", "--packer-files", str(folder), "--accel", "tcg", "--json", env=env)
    output = json.loads(done.out)
    assert output == {
        "variables": str(folder / "worker.pkrvars.json"),
        "template": str(data.PACKER / "worker.pkr.hcl"),
    }
    secret = [path for path in (folder, *folder.rglob("*")) if path.suffix != ".pub"]
    assert {path.stat().st_mode & 0o77 for path in secret} == {0}
    run.call(["packer", "validate", f"-var-file={output['variables']}", output["template"]])
    again = command("bake-image", "--packer-files", str(folder), "--accel", "tcg", env=env)
    assert (again.status, again.out) == (2, "")


# --- the choice --------------------------------------------------------------------------------


def test_auto_chooses_packer_if_the_base_cannot_be_mounted(
    small_store: Store, programs: Path, tmp_path: Path
) -> None:
    """A vendor image without a partition table stands for an unsupported file system."""
    stand_in(programs, "qemu-system-x86_64", QEMU_VERSION + "exit 3")
    disk = small_store.base(BASE.id)
    vendor = tmp_path / "mine.toml"
    vendor.write_text(VENDOR.format(url="http://127.0.0.1:9/not-fetched", digest=digest.of(disk)))
    commit(disk, small_store.base(digest.of(disk)), json.loads(disk.with_suffix(".json").read_text()))
    argv = ("--base", str(vendor), "--accel", "tcg", "--verify", "none")
    done = command("bake-image", *argv, env=environment(small_store, programs))
    assert done.status == 1
    assert (
        "Using engine packer, because chroot is not usable: The image has no partition table." in done.err
    )


def test_auto_chooses_packer_without_root(small_store: Store, programs: Path) -> None:
    """packer itself then fails: in its sandbox it cannot read the folders of this test."""
    for path in (small_store.root, *small_store.root.rglob("*")):
        os.chown(path, 65534, 65534)
    env = environment(small_store, programs)
    done = command("bake-image", "--accel", "tcg", "--verify", "none", env=env, prefix=NOT_ROOT)
    assert (done.status, "Traceback" in done.err) == (1, False), done.err
    assert "Using engine packer, because chroot is not usable: mounting a disk requires root." in done.err
    nothing_stays(small_store.root)
    done = command("bake-image", "-q", env=env, prefix=NOT_ROOT)
    assert (done.status, "requires root" in done.err) == (3, True)


def test_with_a_root_size_packer_starts_from_an_enlarged_copy(tmp_path: Path) -> None:
    """The partition is enlarged in the copy; the base does not change."""
    own, raw = Store(tmp_path / "cache"), tmp_path / "base.raw"
    make(raw, (Part(ROOT, 40, ("mkfs.ext4", "-q")),))
    disk = tmp_path / "base.qcow2"
    qemu_img.to_qcow2(raw, disk)
    manifest = {"base": BASE.name, "sha256": digest.of(disk), "size": disk.stat().st_size}
    commit(disk, own.base(BASE.id), {**manifest, "made": "2026-01-01T00:00:00+00:00"})
    before, folder, size = digest.of(own.base(BASE.id)), tmp_path / "packer", 8 << 30
    options = Options(accelerator="tcg", customization=Customization(root_size=size))
    variables = json.loads(build.prepare(options, folder, own, Silent()).read_text())
    assert variables["disk_size"] == f"{size}b"
    assert Path(variables["base"]).parent == folder
    assert json.loads((folder / "task.json").read_text())["plan"]["root_size"] == size
    assert sorted(path.name for path in folder.glob("enlarged*")) == ["enlarged.qcow2"]
    qemu_img.to_raw(Path(variables["base"]), raw)
    assert partitions(raw)[0].size > size - (4 << 20)
    assert digest.of(own.base(BASE.id)) == before
