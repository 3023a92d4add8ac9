"""Unit tests stay in this process: what would start a program or open a connection fails."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# Both are limits of time, which a busy machine exceeds.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.register_profile("many", settings.get_profile("any-machine"), max_examples=1000)
settings.load_profile("any-machine")


def pytest_configure(config: pytest.Config) -> None:
    """`scripts/test full` tries twenty times as many examples (tests/conftest.py)."""
    if config.getoption("--full"):
        settings.load_profile("many")


@pytest.fixture(autouse=True, scope="module")  # one for each of thousands of tests would take seconds
def no_process_and_no_network() -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a unit test may not start a process or open a connection")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        patch.setattr(socket.socket, "connect", refuse)
        yield
