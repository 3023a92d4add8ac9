"""Run tests/image with pytest and testinfra on a mounted root, over ssh or in namespaces."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.runtime import data
from bakery.runtime.files import write_private
from provisioner.errors import CommandFailed, NotProven
from provisioner.events import Monitor, line
from provisioner.process import run
from provisioner.process.scrub import scrub


@dataclass(frozen=True)
class Result:
    """The number of passed tests, and `NAME: REASON` of each skipped test."""

    passed: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Host:
    """testinfra's options to connect to a machine, and the pytest marker expression of its tests."""

    arguments: tuple[str, ...]
    markers: str = "boot"


def ssh_host(login: str, port: int, key: Path) -> Host:
    """Connect to a local port as the user `login` with a private key."""
    spec = f"worker-ssh://{login}@127.0.0.1:{port}?sudo=true&timeout=60"
    return Host((f"--hosts={spec}", f"--ssh-identity-file={key}"))


def namespace_host(init_pid: int) -> Host:
    """Enter the namespaces of a machine whose PID 1 is our process `init_pid`.

    The tests marked `virtual` are left out: the machine has no disk, kernel or ssh server of its own.
    """
    return Host((f"--hosts=worker-namespace://{init_pid}",), "boot and not virtual")


def run_offline(root: Path, work: Path, monitor: Monitor, *, container: bool = False) -> Result:
    """Run the tests marked `offline` of a machine's or a container's root directory.

    Raises NotProven: a test failed; its message names the failed tests.
    """
    markers = "offline and not machine" if container else "offline and not container"
    return _pytest(markers, ["--connection=chroot", f"--hosts={root}"], {}, work, monitor)


def run_booted(host: Host, expected: dict[str, Any], work: Path, monitor: Monitor) -> Result:
    """Run the tests marked `boot`; `expected` are the values from the machine's user-data.

    Raises NotProven: a test failed; its message names the failed tests.
    """
    return _pytest(host.markers, host.arguments, expected, work, monitor)


def _pytest(
    markers: str, connection: Sequence[str], expected: dict[str, Any], work: Path, monitor: Monitor
) -> Result:
    report, expected_file = work / "image-tests.xml", work / "expected.json"
    report.unlink(missing_ok=True)
    write_private(expected_file, json.dumps(expected).encode())
    command = [
        *(sys.executable, "-P", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"),
        *("-c", str(data.IMAGE_TESTS / "pytest.ini"), "-m", markers, f"--junitxml={report}"),
        *connection,
        str(data.IMAGE_TESTS),
    ]
    environment = run.environment(WORKER_EXPECTED=str(expected_file), PYTHONDONTWRITEBYTECODE="1")
    try:
        run.stream(command, lambda text: line(monitor, text), env=environment)
    except CommandFailed as error:
        if not report.exists():
            raise NotProven(error.message) from None
        raise NotProven(f"The image failed these tests:\n{failures(report)}\n") from None
    return read_report(report)


def read_report(report: Path) -> Result:
    """Read pytest's JUnit XML. Raises NotProven: every test was skipped."""
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    skipped = [
        f"{case.get('name')}: {found.get('message')}"
        for case in suite.iter("testcase")
        if (found := case.find("skipped")) is not None
    ]
    total = int(suite.get("tests", "0"))
    if total == len(skipped):
        raise NotProven(
            "No image test ran.", "The installation of worker-bakery is incomplete: install it again."
        )
    return Result(total - len(skipped), tuple(skipped))


def failures(report: Path) -> str:
    """Return the failed tests of a JUnit report, each as `NAME: REASON`; tokens are replaced."""
    failed = [
        f"  {case.get('name')}: {_reason(problem)}"
        for case in ElementTree.parse(report).getroot().iter("testcase")
        for problem in (*case.findall("failure"), *case.findall("error"))
    ]
    return scrub("\n".join(failed))


def _reason(problem: ElementTree.Element) -> str:
    return (problem.get("message") or problem.text or "").strip().replace("\n", "\n    ")[:600]
