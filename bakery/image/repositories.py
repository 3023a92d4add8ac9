"""packer/repositories.toml: the repositories of a base, and what a user puts in their place.

`--repository-url ID=URL` lends a mirror for the time of the bake; the image has the public URLs, and
its id does not depend on it. `--keep-repository-urls` has them written into the image, and
`--repository-key ID=FILE` trusts other keys: these are part of the plan.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bakery.runtime import data
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.packages.repositories import Key, Repository
from provisioner.roles import Family

_URL = re.compile(r"https?://[A-Za-z0-9\[][^\s@'\"\\<>]*")
_BEGIN = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class Replaced:
    """By the ids of repositories. `keep`: the URLs are written into the image, else lent to the bake."""

    urls: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    keep: bool = False

    @property
    def temporary_urls(self) -> Mapping[str, str]:
        return {} if self.keep else self.urls


NOTHING = Replaced()


def _table() -> dict[str, Any]:
    return tomllib.loads(data.REPOSITORIES.read_text("utf-8"))


def of_base(family: Family, release: str, replaced: Replaced = NOTHING) -> tuple[Repository, ...]:
    """Those of an EL of this family, else of the release with this code name. Raises BadInput."""
    table = _table()
    system = family if family.startswith("el") else release
    public = [_repository(row, system) for row in table["repository"] if system in row["for"]]
    _check(public, replaced)
    return tuple(_replace(repository, replaced) for repository in public)


def _repository(row: Mapping[str, Any], system: str) -> Repository:
    release = system.removeprefix("el")

    def text(name: str) -> str:
        return str(row.get(name, "")).replace("{release}", release)

    keys = tuple(_key(name.replace("{release}", release), row) for name in row["keys"])
    texts = {name: text(name) for name in ("id", "role", "file", "title", "url", "suite", "exclude")}
    return Repository(keys=keys, **texts)


def _key(name: str, row: Mapping[str, Any]) -> Key:
    if name.startswith("/"):
        return Key(name)
    if "key_url" in row:
        return Key(name, url=row["key_url"], fingerprint=row["key_fingerprint"])
    return Key(name, (data.KEYS / "packages" / f"{name}.asc").read_bytes())


def _check(public: Sequence[Repository], replaced: Replaced) -> None:
    """What becomes part of the plan has to be of a repository that the plan defines."""
    known = {repository.id for repository in public}
    for option, ids in (
        ("--keep-repository-urls", replaced.urls if replaced.keep else ()),
        ("--repository-key", replaced.keys),
    ):
        unknown = sorted(set(ids) - known)
        if unknown:
            raise BadInput(
                f"{option}: this base's plan defines no repository {', '.join(unknown)}.",
                did_you_mean.hint(unknown, known, f"It defines {', '.join(sorted(known)) or 'none'}."),
            )


def _replace(repository: Repository, replaced: Replaced) -> Repository:
    url = replaced.urls.get(repository.id, repository.url) if replaced.keep else repository.url
    keys = (replaced.keys[repository.id],) if repository.id in replaced.keys else repository.keys
    return replace(repository, url=url, keys=keys)


def given(urls: Sequence[str], keys: Sequence[str], *, keep: bool) -> Replaced:
    """What the options say: ID=URL and ID=FILE. Raises BadInput."""
    if keep and not urls:
        raise BadInput("--keep-repository-urls keeps those of --repository-url, and none is given.")
    named = dict(_pair(entry, "--repository-url ID=URL") for entry in urls)
    for name, url in named.items():
        if not _URL.fullmatch(url):
            raise BadInput(
                f"--repository-url {name}= takes a URL with http:// or https://.",
                "It has no blanks, no quotes and no password.",
            )
    files = dict(_pair(entry, "--repository-key ID=FILE") for entry in keys)
    return Replaced(named, {name: _own_key(name, Path(file)) for name, file in files.items()}, keep)


def _pair(entry: str, form: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not equals or not value or not re.fullmatch(r"[A-Za-z0-9_.:-]+", name):
        raise BadInput(f"{entry!r} is not of the form {form}.")
    return name, value


def _own_key(name: str, file: Path) -> Key:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"--repository-key {name}: {file} cannot be read: {error.strerror}.") from None
    if not content.lstrip().startswith(_BEGIN):
        raise BadInput(f"--repository-key {name}: {file} is no armored public key.", "gpg --armor --export")
    return Key(f"worker-{name}", content)
