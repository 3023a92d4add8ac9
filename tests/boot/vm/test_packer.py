"""A real `packer build` in a virtual machine: what it leaves is what the chroot engine makes."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.boot.conftest import Seen
from tests.conftest import command

_KEY = re.compile(rb"-----BEGIN OPENSSH PRIVATE KEY-----\n(.+?)-----END", re.DOTALL)


def test_the_image_is_the_same(packer_baked: Seen, baked: dict[str, Any]) -> None:
    """The plan's id, and by image-diff everything in it; it is no larger to speak of."""
    assert packer_baked.result["id"] == baked["id"]
    assert packer_baked.result["from_store"] is False
    done = command("image-diff", "--json", baked["path"], packer_baked.result["path"])
    found = json.loads(done.out)
    assert (done.status, found["differences"]) == (0, []), done.err
    assert found["compared"]["files"] > 10_000
    assert packer_baked.result["size"] < 1.1 * baked["size"]


def test_its_manifest_says_how_it_was_made(packer_baked: Seen) -> None:
    [manifest] = (packer_baked.store.root / "images").glob("*.json")
    assert json.loads(manifest.read_text())["engine"] == "packer"


def test_the_steps_are_told_like_the_other_engine_s(packer_baked: Seen) -> None:
    ended = [event["name"] for event in packer_baked.events if event["event"] == "end"]
    assert "boot the machine, until ssh lets us in" in ended
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
