"""The kinds of steps that roles consist of. Each lowers to actions. Prefer a new kind to `Command`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from provisioner.actions import Action, Put, Run

# yum on EL7, dnf on EL8 and later, where `yum` is only an alias of dnf.
Manager = Literal["apt", "yum", "dnf"]
_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y")
_YUM = ("yum", "-y")
# An unreachable repository is an error, regardless of the vendor's settings.
_DNF = ("dnf", "-y", "--setopt=skip_if_unavailable=False", "--setopt=install_weak_deps=False")


class Step(Protocol):
    """A step of a role; `title` is shown as progress."""

    @property
    def title(self) -> str: ...
    def actions(self) -> tuple[Action, ...]: ...


@dataclass(frozen=True)
class Refresh:
    """Refresh the package lists and upgrade the installed packages."""

    manager: Manager

    title = "upgrade packages"

    def actions(self) -> tuple[Action, ...]:
        match self.manager:
            case "apt":
                # `upgrade` installs no new packages, so no kernel that the boot loader does not know.
                return Run((*_APT, "update")), Run((*_APT, "upgrade"))
            case "yum":
                return Run((*_YUM, "makecache")), Run((*_YUM, "update"))
            case "dnf":
                return Run((*_DNF, "makecache")), Run((*_DNF, "upgrade"))


@dataclass(frozen=True)
class PackageLists:
    """Refresh the package lists, because package sources may have been added."""

    manager: Manager

    title = "refresh the package lists"

    def actions(self) -> tuple[Action, ...]:
        match self.manager:
            case "apt":
                return (Run((*_APT, "update")),)
            case "yum":
                return (Run((*_YUM, "makecache")),)
            case "dnf":
                return (Run((*_DNF, "makecache")),)


@dataclass(frozen=True)
class Packages:
    """Install by name, without recommended packages; the order of names does not matter."""

    manager: Manager
    names: frozenset[str]

    @property
    def title(self) -> str:
        return f"install {', '.join(sorted(self.names))}"

    def actions(self) -> tuple[Action, ...]:
        names = sorted(self.names)
        match self.manager:
            case "apt":
                return (Run((*_APT, "--no-install-recommends", "install", *names)),)
            case "yum":
                # yum succeeds if it finds one of several packages; rpm reports the missing ones.
                return Run((*_YUM, "install", *names)), Run(("rpm", "-q", *names))
            case "dnf":
                return (Run((*_DNF, "install", *names)),)


# $1 URL, $2 path, $3 fingerprint. gpg of EL7 has no --show-keys.
FETCH_KEY = """\
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
file=$GNUPGHOME/key
curl -fsSL --retry 3 -o "$file" "$1"
found=$(gpg --batch --quiet --with-colons --with-fingerprint "$file" 2>/dev/null |
    sed -n 's/^fpr:*\\([0-9A-F]*\\):.*/\\1/p' | head -n 1)
if [ "$found" != "$3" ]; then
    echo "The key at $1 has the fingerprint ${found:-of no key}, pinned is $3"
    exit 1
fi
install -D -m 0644 "$file" "$2"
rm -rf "$GNUPGHOME"
"""


@dataclass(frozen=True)
class FetchKey:
    """Download an armored OpenPGP key; fail unless it has this fingerprint (40 hexadecimal digits)."""

    url: str
    path: str
    fingerprint: str

    @property
    def title(self) -> str:
        return f"fetch the key {self.fingerprint[-8:]}"

    def actions(self) -> tuple[Action, ...]:
        argv = ("sh", "-ec", FETCH_KEY, "fetch", self.url, self.path, self.fingerprint)
        return (Run(argv),)


@dataclass(frozen=True)
class TrustKeys:
    """Import these keys into rpm: paths of armored files on the machine."""

    paths: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"trust {', '.join(path.rsplit('/', 1)[-1] for path in self.paths)}"

    def actions(self) -> tuple[Action, ...]:
        return (Run(("rpm", "--import", *self.paths)),)


@dataclass(frozen=True)
class File:
    """Write a file; `owner` is USER:GROUP."""

    path: str
    data: bytes
    mode: int = 0o644
    owner: str = "root:root"

    @property
    def title(self) -> str:
        return f"write {self.path}"

    def actions(self) -> tuple[Action, ...]:
        if self.owner == "root:root":
            return (Put(self.path, self.data, self.mode),)
        # chown(2) clears set-user-ID, and nobody else may read the file before it has its owner.
        return (
            Put(self.path, self.data, 0o600),
            Run(("chown", self.owner, self.path)),
            Run(("chmod", f"{self.mode:04o}", self.path)),
        )


@dataclass(frozen=True)
class Files:
    """Write several related files in one step."""

    title: str
    files: tuple[File, ...]

    def actions(self) -> tuple[Action, ...]:
        return tuple(action for file in self.files for action in file.actions())


@dataclass(frozen=True)
class Service:
    """Enable, disable or mask a systemd unit for the next boot; it is not started or stopped now."""

    unit: str
    state: Literal["enable", "disable", "mask"]

    @property
    def title(self) -> str:
        return f"{self.state} {self.unit}"

    def actions(self) -> tuple[Action, ...]:
        return (Run(("systemctl", self.state, self.unit)),)


@dataclass(frozen=True)
class Directory:
    """Create a directory with this mode and owner (USER:GROUP)."""

    path: str
    mode: int
    owner: str = "root:root"

    @property
    def title(self) -> str:
        return f"create {self.path}"

    def actions(self) -> tuple[Action, ...]:
        user, group = self.owner.split(":")
        flags = ("-d", "-m", f"{self.mode:04o}", "-o", user, "-g", group)
        return (Run(("install", *flags, self.path)),)


@dataclass(frozen=True)
class Command:
    """Run a program for which there is no other kind of step. It must be safe to run twice."""

    title: str
    argv: tuple[str, ...]

    def actions(self) -> tuple[Action, ...]:
        return (Run(self.argv),)


# $1 path. It is removed after a failure as well: the machine may be one that stays in use.
_RUN_SCRIPT = """\
status=0
"$1" || status=$?
rm -f "$1"
exit $status
"""


@dataclass(frozen=True)
class Script:
    """Run an executable file with this content, and remove it. It must be safe to run twice."""

    title: str
    data: bytes

    def actions(self) -> tuple[Action, ...]:
        # Not in /run or /tmp, from which some systems do not execute. The seal empties /var/tmp.
        path = f"/var/tmp/worker-bakery-{hashlib.sha256(self.data).hexdigest()[:12]}"
        return Put(path, self.data, 0o700), Run(("sh", "-c", _RUN_SCRIPT, "script", path))


def lower(steps: Iterable[Step]) -> list[tuple[str, tuple[Action, ...]]]:
    """The title and the actions of each step."""
    return [(step.title, step.actions()) for step in steps]
