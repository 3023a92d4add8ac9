"""The vocabulary of roles: frozen data, each lowering to actions. Prefer a new kind to `Command`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from provisioner.actions import Action, Put, Run

_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y")


class Step(Protocol):
    @property
    def title(self) -> str: ...
    def actions(self) -> tuple[Action, ...]: ...


@dataclass(frozen=True)
class Refresh:
    """Read the package lists anew and bring what is installed up to date."""

    manager: Literal["apt"]

    title = "bring packages up to date"

    def actions(self) -> tuple[Action, ...]:
        # `upgrade` never installs a new package, so never a kernel the boot loader does not know.
        return Run((*_APT, "update")), Run((*_APT, "upgrade"))


@dataclass(frozen=True)
class PackageLists:
    """Read the package lists anew: sources may have come since they were read."""

    manager: Literal["apt"]

    title = "read the package lists"

    def actions(self) -> tuple[Action, ...]:
        return (Run((*_APT, "update")),)


@dataclass(frozen=True)
class Packages:
    """Install by name, without recommended packages; the order of names does not matter."""

    manager: Literal["apt"]
    names: frozenset[str]

    @property
    def title(self) -> str:
        return f"install {', '.join(sorted(self.names))}"

    def actions(self) -> tuple[Action, ...]:
        return (Run((*_APT, "--no-install-recommends", "install", *sorted(self.names))),)


@dataclass(frozen=True)
class File:
    path: str
    data: bytes
    mode: int = 0o644

    @property
    def title(self) -> str:
        return f"write {self.path}"

    def actions(self) -> tuple[Action, ...]:
        return (Put(self.path, self.data, self.mode),)


@dataclass(frozen=True)
class Files:
    """Several files that belong together, as one step."""

    title: str
    files: tuple[File, ...]

    def actions(self) -> tuple[Action, ...]:
        return tuple(action for file in self.files for action in file.actions())


@dataclass(frozen=True)
class Service:
    """A systemd unit's state at the next boot; nothing is started or stopped now."""

    unit: str
    state: Literal["enable", "disable", "mask"]

    @property
    def title(self) -> str:
        return f"{self.state} {self.unit}"

    def actions(self) -> tuple[Action, ...]:
        return (Run(("systemctl", self.state, self.unit)),)


@dataclass(frozen=True)
class Directory:
    path: str
    mode: int
    owner: str = "root:root"

    @property
    def title(self) -> str:
        return f"make {self.path}"

    def actions(self) -> tuple[Action, ...]:
        user, group = self.owner.split(":")
        flags = ("-d", "-m", f"{self.mode:04o}", "-o", user, "-g", group)
        return (Run(("install", *flags, self.path)),)


@dataclass(frozen=True)
class Command:
    """What no other kind says. It must be safe to run twice."""

    title: str
    argv: tuple[str, ...]

    def actions(self) -> tuple[Action, ...]:
        return (Run(self.argv),)


def lower(steps: Iterable[Step]) -> list[tuple[str, tuple[Action, ...]]]:
    return [(step.title, step.actions()) for step in steps]
