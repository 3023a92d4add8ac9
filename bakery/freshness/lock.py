"""The lock of an image: its packages with exact versions, and the repositories that offer them.

The lock is in the image's manifest, and in the files of --lock. It names repositories by their public
identity; a mirror is found again whenever they are asked. `url` is set only if the bake named one.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from provisioner.errors import BadInput

FORMAT = 1
System = Literal["apt", "rpm"]


@dataclass(frozen=True, order=True)
class Package:
    """An installed package: `version` as dpkg has it, or [EPOCH:]VERSION-RELEASE of rpm.

    `origin` is the id of the repository that offers this version; "" if none does.
    """

    name: str
    architecture: str
    version: str
    origin: str = ""


@dataclass(frozen=True)
class Repository:
    """A package repository. `uri` is public; "" for the distribution's, which is read from a mirror.

    `suite` and `components` are those of sources.list(5). `mirror_list` is a mirrorlist or metalink of
    yum.conf(5), `exclude` its package names to ignore. `priority` is apt's, see apt_preferences(5).
    `keys` are names of keyrings in the lock, `url` the mirror that the options of the bake named.
    """

    id: str
    system: System
    uri: str = ""
    suite: str = ""
    components: tuple[str, ...] = ()
    mirror_list: str = ""
    exclude: tuple[str, ...] = ()
    priority: int = 500
    security: bool = False
    expires: bool = True  # False: Valid-Until is not checked
    keys: tuple[str, ...] = ()
    url: str = ""


@dataclass(frozen=True)
class Index:
    """A list of packages of a repository: its path below the repository and its SHA-256 (hexadecimal)."""

    path: str
    digest: str
    what: str = "packages"  # or "updateinfo"


@dataclass(frozen=True)
class Seen:
    """The metadata of a repository when it was last read: SHA-256 of InRelease, Release or repomd.xml.

    `etag` and `modified` are the validators of the HTTP response; "" if the server sends none.
    """

    digest: str
    etag: str = ""
    modified: str = ""
    indexes: tuple[Index, ...] = ()
    base: str = ""  # the URL below which the indexes are


@dataclass(frozen=True)
class Update:
    """A package of an image for which a repository has a newer version."""

    name: str
    architecture: str
    installed: str
    available: str
    repository: str
    security: bool = False

    def __str__(self) -> str:
        label = " (security)" if self.security else ""
        return f"{self.name} {self.installed} → {self.available}{label}"


@dataclass(frozen=True)
class Lock:
    """`architecture` is the package manager's name for it. `keys` are OpenPGP keyrings by SHA-256.

    `seen` is by repository. `kept` are updates that were available right after the bake, which therefore
    did not install them: apt-get upgrade installs no new kernel, for example.
    """

    system: System
    architecture: str
    packages: tuple[Package, ...]
    repositories: tuple[Repository, ...]
    keys: Mapping[str, bytes] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    kept: tuple[Update, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(package.name for package in self.packages)


def to_json(lock: Lock) -> dict[str, Any]:
    """The lock for a manifest: packages are rows of name, architecture, version and origin."""
    return {
        "format": FORMAT,
        "system": lock.system,
        "architecture": lock.architecture,
        "packages": [[p.name, p.architecture, p.version, p.origin] for p in lock.packages],
        "repositories": [_plain(asdict(repository)) for repository in lock.repositories],
        "keys": {name: base64.b64encode(content).decode("ascii") for name, content in lock.keys.items()},
        "seen": seen_to_json(lock.seen),
        "kept": [asdict(update) for update in lock.kept],
    }


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without empty fields."""
    return {name: value for name, value in fields.items() if value not in ("", ())}


def seen_to_json(seen: Mapping[str, Seen]) -> dict[str, Any]:
    return {name: _plain(asdict(one)) for name, one in seen.items()}


def seen_from_json(data: Mapping[str, Any]) -> dict[str, Seen]:
    return {
        name: Seen(**{**one, "indexes": tuple(Index(**index) for index in one.get("indexes", ()))})
        for name, one in data.items()
    }


def from_json(data: Mapping[str, Any]) -> Lock:
    """Raises BadInput for another format."""
    if data.get("format") != FORMAT:
        raise BadInput(f"The lock has format {data.get('format')!r}; supported is format {FORMAT}.")
    return Lock(
        data["system"],
        data["architecture"],
        tuple(Package(*row) for row in data["packages"]),
        tuple(_repository(fields) for fields in data["repositories"]),
        {name: base64.b64decode(text) for name, text in data["keys"].items()},
        seen_from_json(data["seen"]),
        tuple(Update(**update) for update in data["kept"]),
    )


def _repository(fields: Mapping[str, Any]) -> Repository:
    lists = {name: tuple(fields[name]) for name in ("components", "exclude", "keys") if name in fields}
    return Repository(**{**fields, **lists})


def of_manifest(manifest: Mapping[str, Any]) -> Lock | None:
    """The lock of an image; None if it was baked by a version that recorded none."""
    found = manifest.get("lock")
    return from_json(found) if found else None


# --- files of --lock ---------------------------------------------------------------------------


def public(lock: Lock) -> Lock:
    """The lock without the URLs of mirrors that the bake used."""
    return replace(
        lock,
        repositories=tuple(replace(one, url="") for one in lock.repositories),
        seen={name: replace(one, base="") for name, one in lock.seen.items()},
    )


def to_file(lock: Lock) -> str:
    """The text of a lock file. It does not contain URLs of mirrors that the bake used."""
    data = to_json(replace(public(lock), kept=()))
    rows = ",\n".join(f"  {json.dumps(row)}" for row in data.pop("packages"))
    del data["keys"]
    for repository in data["repositories"]:
        repository.pop("keys", None)
    rest = json.dumps(data, indent=1)
    return f'{{\n "packages": [\n{rows}\n ],{rest[1:]}\n'
