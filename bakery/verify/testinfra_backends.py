"""How testinfra gets into a machine that is being proven: over ssh, patiently, or into its namespaces.

The image's tests register them by name (tests/image/conftest.py).
"""

from __future__ import annotations

import functools
from typing import Any

import paramiko
from testinfra.backend import base
from testinfra.backend.paramiko import ParamikoBackend

from bakery.machines import conditions
from bakery.machines.conditions import Condition
from bakery.machines.namespace import inside
from provisioner.errors import NotProven

NAMES = {
    "worker-ssh": f"{__name__}.SshBackend",
    "worker-namespace": f"{__name__}.NamespaceBackend",
}
# Seconds until sshd, which has let in before, does so again: emulated, on a busy machine.
_LOGIN_LIMIT = 300


class SshBackend(ParamikoBackend):  # type: ignore[misc]  # testinfra is not typed for subclassing
    """testinfra's own, which logs in again when the connection is lost or sshd is slow to greet."""

    NAME = "worker-ssh"

    @functools.cached_property
    def client(self) -> paramiko.SSHClient:
        return conditions.wait(Condition("sshd lets in", self._connected, _LOGIN_LIMIT))

    def _connected(self) -> paramiko.SSHClient:
        try:
            client: paramiko.SSHClient = ParamikoBackend.client.func(self)
        except (TimeoutError, paramiko.SSHException, OSError, EOFError) as error:
            raise NotProven(f"{type(error).__name__}: {error}") from None
        return client

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        try:
            return super().run(command, *args, **kwargs)
        except EOFError:  # the connection ended as the program was to start
            del self.client
            return super().run(command, *args, **kwargs)


class NamespaceBackend(base.BaseBackend):  # type: ignore[misc]  # as above
    """`worker-namespace://PID`, where PID is the machine's PID 1 as we see it."""

    NAME = "worker-namespace"

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        self._first = int(name)
        super().__init__(name, *args, **kwargs)

    def run(self, command: str, *args: str, **kwargs: Any) -> base.CommandResult:
        words = inside(self._first, ["/bin/sh", "-c", self.get_command(command, *args)])
        return self.run_local(" ".join(["%s"] * len(words)), *words)
