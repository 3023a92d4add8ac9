"""Verification of each broken image fails with the right message."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bakery.machines.needs import Image
from tests import broken
from tests.conftest import command

# Every run tests this one; the others take 30 s each and only the full tests include them.
ALWAYS = "START lacks the image's guard"

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
    how = ("--machine", "namespace", "--test", test, "--json")
    done = command("worker-bakery", "verify", str(worker_image.path), *how)
    assert done.status == 0, done.err[-3000:]
    proof = json.loads(done.out)["proof"]
    for level, passed in {"offline": 2, "boot": 3, "pool": 2}.items():
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
