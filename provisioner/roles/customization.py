"""What a site adds to a worker image: the content of a definition file, validated and read, as data.

bakery/definition reads definition files into these values; the roles `site_base` and `site` make steps of
them (provisioner/roles/site). What an image cannot have is refused there and by the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from provisioner.packages.repositories import Repository

# When a command runs: after the base was updated; after the packages of the definition were installed;
# after everything else, before the image is sealed.
Phase = Literal["base", "packages", "final"]


@dataclass(frozen=True)
class SiteFile:
    """A file with its content. Its folders are created, owned by root.

    `owner` is USER:GROUP: of the base, of a package, or of `users`, which are added before.
    """

    path: str
    data: bytes
    mode: int = 0o644
    owner: str = "root:root"


@dataclass(frozen=True)
class User:
    """A user account without a password. `uid` 0: the next free one (of system accounts if `system`).

    A home below /home is created at each boot if it is missing, and does not exist in a container; another
    one is in the image, with mode 0700, or 0755 for a system account.
    """

    name: str
    uid: int = 0
    # "": /home/NAME, or / for a system account; an account that exists keeps its own
    home: str = ""
    shell: str = ""  # "": /bin/bash, or /usr/sbin/nologin for a system account; or its own
    groups: tuple[str, ...] = ()  # supplementary groups, created if they do not exist
    system: bool = False


@dataclass(frozen=True)
class SiteCommand:
    """A command, run as root; it must be safe to run twice. `title` is shown as progress.

    The working directory is /. `script` is the content of an executable file to run ("": run `argv`, which
    is found in PATH).
    """

    title: str
    argv: tuple[str, ...] = ()
    script: bytes = b""
    phase: Phase = "final"


@dataclass(frozen=True)
class Customization:
    """The additions of a site; empty fields add nothing.

    `worker` are defaults for keys of the worker's file (KEY, VALUE), which user-data can override;
    `condor` are lines of HTCondor configuration, such as WORKER_GUARDS (NAME, VALUE).
    `services` maps units to the state for the next boot. A container, which has no units, has what
    "disable" and "mask" ask for; "enable", `sysctl`, `kernel_arguments` and `root_size` are refused.
    """

    # Of the definition, in /usr/lib/worker-bakery/definition.json of the image; part of its id.
    name: str = ""
    version: str = ""
    packages: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()  # with the role "site"
    files: tuple[SiteFile, ...] = ()
    users: tuple[User, ...] = ()
    services: tuple[tuple[str, Literal["enable", "disable", "mask"]], ...] = ()
    sysctl: tuple[tuple[str, str], ...] = ()
    kernel_arguments: tuple[str, ...] = ()
    ca_certificates: tuple[tuple[str, bytes], ...] = ()  # file name without suffix, PEM of one or several
    commands: tuple[SiteCommand, ...] = ()
    worker: tuple[tuple[str, str], ...] = ()
    condor: tuple[tuple[str, str], ...] = ()
    root_size: int = 0  # bytes of the whole disk, whose last partition is the root; 0: as the base has it


NO_CUSTOMIZATION = Customization()
