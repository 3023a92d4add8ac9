"""tests/image, run by pytest with testinfra over a mounted root or over ssh."""

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
    passed: int
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class Host:
    """How testinfra gets into a machine, and which tests of one of its kind there are."""

    arguments: tuple[str, ...]
    wanted: str = "boot"


def by_ssh(login: str, port: int, key: Path) -> Host:
    spec = f"worker-ssh://{login}@127.0.0.1:{port}?sudo=true&timeout=60"
    return Host((f"--hosts={spec}", f"--ssh-identity-file={key}"))


def in_namespaces(first: int) -> Host:
    """`first` is the PID of the machine's PID 1. It has no disk, kernel and ssh server of its own."""
    return Host((f"--hosts=worker-namespace://{first}",), "boot and not virtual")


def on_root(root: Path, work: Path, monitor: Monitor, *, container: bool = False) -> Result:
    """The tests marked offline, of machines or of containers. Raises NotProven with the failures."""
    wanted = "offline and not machine" if container else "offline and not container"
    return _pytest(wanted, ["--connection=chroot", f"--hosts={root}"], {}, work, monitor)


def on_machine(host: Host, expected: dict[str, Any], work: Path, monitor: Monitor) -> Result:
    """The tests marked boot; `expected` is what the booted machine was told. Raises NotProven."""
    return _pytest(host.wanted, host.arguments, expected, work, monitor)


def _pytest(
    wanted: str, where: Sequence[str], expected: dict[str, Any], work: Path, monitor: Monitor
) -> Result:
    report, told = work / "image-tests.xml", work / "expected.json"
    report.unlink(missing_ok=True)
    write_private(told, json.dumps(expected).encode())
    command = [
        *(sys.executable, "-P", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"),
        *("-c", str(data.IMAGE_TESTS / "pytest.ini"), "-m", wanted, f"--junitxml={report}"),
        *where,
        str(data.IMAGE_TESTS),
    ]
    environment = run.environment(WORKER_EXPECTED=str(told), PYTHONDONTWRITEBYTECODE="1")
    try:
        run.stream(command, lambda text: line(monitor, text), env=environment)
    except CommandFailed as error:
        if not report.exists():
            raise NotProven(error.message) from None
        raise NotProven(f"The image failed its tests:\n{failures(report)}\n") from None
    return read_report(report)


def read_report(report: Path) -> Result:
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    skipped = [
        f"{case.get('name')}: {case.find('skipped').get('message')}"  # type: ignore[union-attr]
        for case in suite.iter("testcase")
        if case.find("skipped") is not None
    ]
    total = int(suite.get("tests", "0"))
    if total == len(skipped):
        raise NotProven(
            "No test of the image ran.", "This is a defect of the installation of worker-bakery."
        )
    return Result(total - len(skipped), tuple(skipped))


def failures(report: Path) -> str:
    """The names of the failed tests and why, a line each or more."""
    failed = [
        f"  {case.get('name')}: {_reason(problem)}"
        for case in ElementTree.parse(report).getroot().iter("testcase")
        for problem in (*case.findall("failure"), *case.findall("error"))
    ]
    return scrub("\n".join(failed))


def _reason(problem: ElementTree.Element) -> str:
    return (problem.get("message") or problem.text or "").strip().replace("\n", "\n    ")[:600]
