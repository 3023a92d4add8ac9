"""Verification of each broken image fails with the right message; a good one passes each level."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.needs import Image
from bakery.runtime import digest
from bakery.store.store import Store
from bakery.verify.verification import Request, verify
from provisioner.errors import NotProven
from provisioner.events import Silent
from tests import broken
from tests.conftest import BASE, command

# Every run tests this one; the others take 30 s each and only the full tests include them.
ALWAYS = "START lacks the image's guard"
ALWAYS_LEFT = "machine-id"

CLONE_CHECKS = [
    "the first of two machines booted and ran its user-data",
    "the first joined the pool under its own name",
    "the second of two machines booted and ran its user-data",
    "nothing of the first is in the second: machine-id, D-Bus id, host name, ssh host key, no random seed,"
    " cloud-init instance",
    "the second joined the pool under its own name",
    "the second shut down",
    "booted again, it kept its identity, and cloud-init ran nothing of the first boot again",
    "the second joined the pool again",
]

SITE_TESTS = """\
import pytest


def test_at_each_level(host):
    assert host.file("/usr/lib/worker-bakery/kind.json").exists


@pytest.mark.offline
def test_of_files(host):
    assert host.file("/etc/machine-id").content_string == "uninitialized\\n"


@pytest.mark.boot
def test_of_a_booted_machine(host):
    assert host.service("worker-life.service").is_enabled


@pytest.mark.boot
def test_that_reads_the_process_table(host):
    assert host.process.get(pid=1).comm == "systemd"


@pytest.mark.pool
def test_of_a_worker_in_a_pool(host):
    assert host.run("worker-image wait --for joined --timeout 5m").succeeded


@pytest.mark.clone
def test_of_a_second_boot(host):
    previous = host.file("/var/lib/cloud/data/previous-instance-id")
    assert previous.content_string == host.file("/var/lib/cloud/data/instance-id").content_string
"""


@pytest.mark.parametrize(
    "defect",
    [name if name == ALWAYS else pytest.param(name, marks=pytest.mark.full) for name in broken.DEFECTS],
)
def test_a_broken_image_fails_verification(defect: str, worker_image: Image, tmp_path: Path) -> None:
    with broken.broken(worker_image.path, defect, tmp_path) as image:
        done = command("worker-bakery", "verify", str(image), "--machine", "namespace")
    assert done.status == 4, done.err[-3000:]
    assert broken.DEFECTS[defect].message in done.err, done.err[-3000:]


def test_a_good_image_passes_verification_with_the_tests_of_a_site_at_each_level(
    worker_image: Image, tmp_path: Path
) -> None:
    test = _site_test(tmp_path, SITE_TESTS)
    how = ("--level", "clone", "--machine", "namespace", "--test", test, "--json")
    done = command("worker-bakery", "verify", str(worker_image.path), *how)
    assert done.status == 0, done.err[-3000:]
    proof = json.loads(done.out)["proof"]
    shown = [check["what"] for check in proof["clone"]["checks"]]
    assert shown == [*CLONE_CHECKS, "tests of the site: 2 passed"]
    for level, passed in {"offline": 2, "boot": 3, "pool": 2, "clone": 2}.items():
        checks = [check["what"] for check in proof[level]["checks"]]
        assert f"tests of the site: {passed} passed" in checks
        assert proof[level]["tests"] == {"test_site.py": hashlib.sha256(SITE_TESTS.encode()).hexdigest()}


def test_a_test_of_a_site_can_fail_verification(worker_image: Image, tmp_path: Path) -> None:
    test = _site_test(
        tmp_path, "def test_the_agent_is_there(host):\n    assert host.file('/opt/agent').exists\n"
    )
    done = command("worker-bakery", "verify", str(worker_image.path), "--level", "offline", "--test", test)
    assert done.status == 4, done.err[-3000:]
    assert "The image failed these tests of the site:\n  test_the_agent_is_there[" in done.err


def _site_test(folder: Path, content: str) -> str:
    test = folder / "test_site.py"
    test.write_text(content)
    return str(test)


def clone_proven(image: Path, store: Store) -> dict[str, Any]:
    """The entry of the level in a proof by namespace machines."""
    request = Request(image, ("clone",), BASE.login, machine="namespace")
    return verify(request, store, Silent())["clone"]


# Two machines and a pool more; the clone of the other kind is verified above.
@pytest.mark.full
def test_two_prominence_workers_of_an_image_share_nothing_and_one_is_itself_after_a_second_boot(
    prominence_image: Image, store: Store
) -> None:
    """Virtual machines in vm/test_proof.py."""
    proof = clone_proven(prominence_image.path, store)
    assert [check["what"] for check in proof["checks"]] == CLONE_CHECKS
    assert (proof["machine"], proof["pool_shape"]) == ("namespace", "plain")
    assert_consoles_are_kept(proof["consoles"], prominence_image.path, store, "console")


def assert_consoles_are_kept(consoles: dict[str, str], image: Path, store: Store, name: str) -> None:
    """One for each boot, in a log folder of the verification, with the digests in the proof."""
    assert list(consoles) == ["clone-1", "clone-2", "clone-2-again"]
    assert len(set(consoles.values())) == 3
    wanted = {f"{boot}-{name}": digest for boot, digest in consoles.items()}
    assert wanted in [kept(folder, name) for folder in store.root.glob(f"logs/*-verify-{image.stem}")]


def kept(folder: Path, name: str) -> dict[str, str]:
    return {path.name: digest.of(path) for path in folder.glob(f"clone-*-{name}")}


@pytest.mark.parametrize(
    "left",
    [
        name if name == ALWAYS_LEFT else pytest.param(name, marks=pytest.mark.full)
        for name in broken.LEFT_IN
    ],
)
def test_what_two_machines_share_is_named_with_what_to_do(
    left: str, worker_image: Image, store: Store, tmp_path: Path
) -> None:
    defect = broken.LEFT_IN[left]
    with broken.broken(worker_image.path, left, tmp_path) as image, pytest.raises(NotProven) as caught:
        clone_proven(image, store)
    error = caught.value
    assert error.where.startswith("level clone: "), error.where
    assert defect.shared in error.message, error.message
    assert defect.remedy in error.message + error.hint
    assert "Timed out after 10 s waiting for: " in error.message
    assert "Last answer: " in error.message
