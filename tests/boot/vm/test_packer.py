"""A real `packer build` in a virtual machine: what it leaves is what the chroot engine makes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bakery.image import recipe
from bakery.machines.accelerator import Accelerator
from bakery.runtime import qemu_img
from bakery.store.store import Store, is_intact
from tests.boot.conftest import Seen
from tests.conftest import BASE, BIN, command
from tests.integration.engines.test_packer_engine import QEMU_VERSION, stand_in

_KEY = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----\n(.+?)-----END", re.DOTALL)


def test_the_image_is_the_same(packer_baked: Seen, baked: dict[str, Any]) -> None:
    """The plan's id, and by worker-bakery diff everything in it; it is no larger to speak of."""
    assert packer_baked.result["id"] == baked["id"]
    assert packer_baked.result["from_store"] is False
    done = command("worker-bakery", "diff", "--json", baked["path"], packer_baked.result["path"])
    found = json.loads(done.out)
    assert (done.status, found["differences"]) == (0, []), done.err
    assert found["compared"]["files"] > 10_000
    assert packer_baked.result["size"] < 1.1 * baked["size"]


def test_its_manifest_says_how_it_was_made(packer_baked: Seen) -> None:
    [manifest] = (packer_baked.store.root / "images").glob("*.json")
    assert json.loads(manifest.read_text())["engine"] == "packer"


def test_the_steps_are_told_like_the_other_engine_s(packer_baked: Seen) -> None:
    ended = [event["name"] for event in packer_baked.events if event["event"] == "end"]
    assert "boot the machine and wait for ssh" in ended
    assert {name.partition(":")[0] for name in ended} >= {"base", "condor", "osg_worker", "seal"}


def test_only_this_machine_can_reach_the_guest(packer_baked: Seen) -> None:
    [address] = packer_baked.listeners
    assert address.startswith("127.0.0.1:")


def test_the_key_is_nowhere_but_in_its_file(packer_baked: Seen) -> None:
    """Not in packer's log, its stream, the variables, the plan or an argument, and in the end nowhere."""
    assert {"packer.log", "packer.stream", "worker.pkrvars.json", "task.json"} <= set(packer_baked.files)
    holders = {name for name, data in packer_baked.files.items() if b"PRIVATE KEY" in data}
    assert holders == {"login/ssh-key", "host/ssh-key", "seed.iso"}  # the seed tells the machine its own
    assert {packer_baked.modes[name] for name in holders} == {0o600}
    for name in ("login/ssh-key", "host/ssh-key"):
        secret = _secret(packer_baked.files[name])
        told = {
            other for other, data in packer_baked.files.items() if secret in data.replace(b"\\n", b"\n")
        }
        assert told <= {name, "seed.iso"}
        assert secret not in packer_baked.arguments
        assert secret.decode() not in json.dumps(packer_baked.events)
    assert list((packer_baked.store.root / "work").iterdir()) == []


def _secret(key: bytes) -> bytes:
    found = _KEY.search(key)
    assert found
    return found[1].splitlines()[1]


def test_variables_and_logs_are_private(packer_baked: Seen) -> None:
    private = ("packer.log", "packer.stream", "worker.pkrvars.json", "task.json", "seed.iso", "serial.log")
    assert {name: packer_baked.modes[name] for name in private} == dict.fromkeys(private, 0o600)


# --- checkpoints -------------------------------------------------------------------------------

PLAN = recipe.plan(BASE, "osg")
ENDS = PLAN.role_ends()[:-1]


def test_a_checkpoint_is_kept_at_the_end_of_each_role_but_the_last(packer_baked: Seen) -> None:
    kept = {path.stem for path in (packer_baked.store.root / "checkpoints").glob("*.qcow2")}
    assert kept == {PLAN.id_after(end) for end in ENDS}
    for end in ENDS:
        disk = packer_baked.store.checkpoint(PLAN.id_after(end))
        assert is_intact(disk)
        assert qemu_img.other_files(disk) == []


def test_no_disk_that_is_kept_holds_a_key(packer_baked: Seen, tmp_path: Path) -> None:
    """Nor does its free space; the public half of the way in is not there either."""
    names = ("login/ssh-key", "host/ssh-key")
    keys = [_secret(packer_baked.files[name]) for name in names]
    keys += [packer_baked.files[f"{name}.pub"].split()[1] for name in names]
    qemu_img.to_qcow2(Path(packer_baked.result["path"]), tmp_path / "image", "qcow2")  # without compression
    layers = [packer_baked.store.checkpoint(PLAN.id_after(end)) for end in ENDS]
    assert [disk for disk in (*layers, tmp_path / "image") if _holds(disk, keys)] == []


def _holds(disk: Path, keys: list[bytes]) -> bool:
    """A key's file is smaller than a cluster, so that it is in one piece."""
    longest, before = max(map(len, keys)), b""
    with disk.open("rb") as file:
        while piece := file.read(1 << 24):
            if any(key in before + piece for key in keys):
                return True
            before = piece[-longest:]
    return False


def test_a_checkpoint_holds_what_the_chroot_engine_s_does(packer_baked: Seen, store: Store) -> None:
    """The last one, after all roles that install something. The base's own host keys, which the seal
    removes, went when the machine was booted."""
    name = PLAN.id_after(ENDS[-1])
    assert is_intact(store.checkpoint(name)), "the fixture `baked` keeps all of them"
    ours = packer_baked.store.checkpoint(name)
    done = command("worker-bakery", "diff", "--json", str(store.checkpoint(name)), str(ours))
    found = json.loads(done.out)
    assert found["compared"]["files"] > 10_000, done.err
    different = {(each["what"], re.sub(r"_key.*", "", each["name"])) for each in found["differences"]}
    names = ("ecdsa", "ed25519", "rsa")
    assert different <= {("removed", f"/etc/ssh/ssh_host_{name}") for name in names}, found["differences"]


def test_a_changed_late_role_starts_from_its_checkpoint(packer_baked: Seen, tmp_path: Path) -> None:
    """That it boots is shown below; here there is no machine, as only the choice is asked for."""
    stand_in(tmp_path, "qemu-system-x86_64", f"{QEMU_VERSION}exit 3")
    env = {"WORKER_BAKERY_CACHE": str(packer_baked.store.root), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    argv = ("--with", "apptainer", "--engine", "packer", "--accel", "tcg", "--verify", "none")
    done = command("bake-image", *argv, env=env)
    assert done.status == 1
    assert "Resuming from the checkpoint after condor." in done.err


# --- by hand -----------------------------------------------------------------------------------


@pytest.mark.full  # minutes, for what the tests above say of the same files
def test_by_hand_from_a_checkpoint_of_packer_s_comes_the_same_image(
    packer_baked: Seen, baked: dict[str, Any], accelerator: Accelerator, tmp_path: Path
) -> None:
    """The commands of the README, to the end, in a shell."""
    env = {**os.environ, "WORKER_BAKERY_CACHE": str(packer_baked.store.root), "CHECKPOINT_DISABLE": "1"}
    env["PATH"] = f"{BIN}:{env['PATH']}"

    def typed(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    printed = typed(f"bake-image --packer-files build --accel {accelerator.name}").strip()
    assert shlex.split(printed)[:3] == [
        "packer",
        "build",
        f"-var-file={tmp_path}/build/worker.pkrvars.json",
    ]
    said = typed(printed)
    assert "osg_worker:" not in said and "seal: remove traces" in said
    typed("qemu-img convert -O qcow2 -c build/output/disk.qcow2 worker.qcow2")
    typed("worker-bakery verify worker.qcow2 --level offline")
    done = command("worker-bakery", "diff", "--json", baked["path"], str(tmp_path / "worker.qcow2"))
    assert (done.status, json.loads(done.out)["differences"]) == (0, []), done.out[-3000:]
