"""Run tests/image, and the tests of a site, with pytest and testinfra.

The host is a mounted root, or a machine over ssh or in namespaces.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.runtime import data
from bakery.runtime.files import write_private
from bakery.verify import site_tests
from provisioner.errors import CommandFailed, NotProven
from provisioner.events import Monitor, line
from provisioner.process import run
from provisioner.process.scrub import scrub


@dataclass(frozen=True)
class Result:
    """The number of passed tests, and `NAME: REASON` of each skipped test."""

    passed: int
    skipped: tuple[str, ...]


# By its name: importing it here would import paramiko.
_PLUGIN = "bakery.verify.testinfra_backends"
# What pytest returns if no test was collected or selected, see "Exit codes" in its documentation.
_NO_TESTS = 5


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


def mounted_host(root: Path) -> Host:
    """Run programs in a mounted root directory with chroot."""
    return Host(("--connection=chroot", f"--hosts={root}"), "offline and not container")


def run_offline(root: Path, work: Path, monitor: Monitor, *, container: bool = False) -> Result:
    """Run the tests marked `offline` of a machine's or a container's root directory.

    Raises NotProven: a test failed; its message names the failed tests.
    """
    host = mounted_host(root)
    markers = "offline and not machine" if container else host.markers
    return _run_ours(markers, host, {}, work, monitor)


def run_booted(host: Host, expected: dict[str, Any], work: Path, monitor: Monitor) -> Result:
    """Run the tests marked `boot`; `expected` are the values from the machine's user-data.

    Raises NotProven: a test failed; its message names the failed tests.
    """
    return _run_ours(host.markers, host, expected, work, monitor)


def run_site(folder: Path, level: str, host: Host, work: Path, monitor: Monitor) -> Result:
    """Run the tests of a site in `folder` that belong to this level.

    Raises NotProven: a test failed; its message names the failed tests.
    """
    report = work / "site-tests.xml"
    try:
        _pytest(folder, site_tests.markers(level), host, report, "of the site", monitor)
    except CommandFailed as error:
        if error.status != _NO_TESTS:
            raise NotProven(error.message) from None
        return Result(0, (f"all: no test of the site is for the level {level}",))
    return _read(report)


def _run_ours(markers: str, host: Host, expected: dict[str, Any], work: Path, monitor: Monitor) -> Result:
    report, expected_file = work / "image-tests.xml", work / "expected.json"
    write_private(expected_file, json.dumps(expected).encode())
    try:
        _pytest(data.IMAGE_TESTS, markers, host, report, "", monitor, WORKER_EXPECTED=str(expected_file))
    except CommandFailed as error:
        raise NotProven(error.message) from None
    return read_report(report)


def _pytest(
    folder: Path, markers: str, host: Host, report: Path, whose: str, monitor: Monitor, **variables: str
) -> None:
    """Run pytest. Raises NotProven: tests failed; CommandFailed: pytest itself failed."""
    report.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-P", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"),
        *("-c", str(data.IMAGE_TESTS / "pytest.ini"), f"--rootdir={folder}"),
        *("-p", _PLUGIN, "-m", markers, f"--junitxml={report}"),
        *host.arguments,
        str(folder),
    ]
    environment = run.environment(PYTHONDONTWRITEBYTECODE="1", **variables)
    try:
        run.stream(command, lambda text: line(monitor, text), env=environment)
    except CommandFailed:
        failed = failures(report) if report.exists() else ""
        if not failed:
            raise
        tests = f"these tests {whose}".rstrip()
        raise NotProven(f"The image failed {tests}:\n{failed}\n") from None


def read_report(report: Path) -> Result:
    """Read pytest's JUnit XML. Raises NotProven: every test was skipped."""
    found = _read(report)
    if not found.passed:
        raise NotProven(
            "No image test ran.", "The installation of worker-bakery is incomplete: install it again."
        )
    return found


def _read(report: Path) -> Result:
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    skipped = [
        f"{case.get('name')}: {found.get('message')}"
        for case in suite.iter("testcase")
        if (found := case.find("skipped")) is not None
    ]
    total = int(suite.get("tests", "0"))
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
