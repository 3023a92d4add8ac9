"""A pytest plugin with testinfra backends: ssh that reconnects, and a namespace machine."""

from __future__ import annotations

import functools
from typing import Any

import paramiko
from testinfra import backend
from testinfra.backend import base
from testinfra.backend.paramiko import ParamikoBackend

from bakery.machines.namespace import nsenter_argv
from bakery.runtime import conditions
from bakery.runtime.conditions import Condition
from provisioner.errors import NotProven

NAMES = {
    "worker-ssh": f"{__name__}.SshBackend",
    "worker-namespace": f"{__name__}.NamespaceBackend",
}
# Seconds until an ssh server that accepted a login before accepts the next one: under software emulation
# on a busy machine.
_LOGIN_LIMIT = 300


def pytest_configure() -> None:
    """Register the backends, before testinfra connects to a host."""
    backend.BACKENDS.update(NAMES)


class SshBackend(ParamikoBackend):  # type: ignore[misc]  # testinfra has no types
    """testinfra's ssh backend; it reconnects when the connection is lost or the server answers late."""

    NAME = "worker-ssh"

    @functools.cached_property
    def client(self) -> paramiko.SSHClient:
        return conditions.wait(Condition("an ssh login", self._connect, _LOGIN_LIMIT))

    def _connect(self) -> paramiko.SSHClient:
        try:
            client: paramiko.SSHClient = ParamikoBackend.client.func(self)
        except (TimeoutError, paramiko.SSHException, OSError, EOFError) as error:
            raise NotProven(f"{type(error).__name__}: {error}") from None
        return client

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        try:
            return super().run(command, *args, **kwargs)
        except EOFError:  # the connection was lost before the program started
            del self.client
            return super().run(command, *args, **kwargs)


class NamespaceBackend(base.BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """`worker-namespace://PID`, where PID is the machine's PID 1 in our PID namespace."""

    NAME = "worker-namespace"

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        self._init_pid = int(name)
        super().__init__(name, *args, **kwargs)

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        words = nsenter_argv(self._init_pid, ["/bin/sh", "-c", self.get_command(command, *args)])
        return self.run_local(" ".join(["%s"] * len(words)), *words)
