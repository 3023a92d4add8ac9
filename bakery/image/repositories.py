"""packer/repositories.toml: the repositories of a base, and the options that replace them.

`--repository-url ID=URL` uses a mirror during the bake; the image contains the public URLs, and its id does
not depend on the mirror. With `--keep-repository-urls` the image contains the mirror's URLs;
`--repository-key ID=FILE` replaces the keys. These two are part of the plan.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bakery.runtime import data
from provisioner import did_you_mean, named_file
from provisioner.errors import BadInput
from provisioner.packages.repositories import Key, Repository
from provisioner.roles import Family

_URL = re.compile(r"https?://[A-Za-z0-9\[][^\s@'\"\\<>]*")
_BEGIN = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class Replaced:
    """Replacements by repository id. `keep`: the image contains the URLs; else only the bake uses them."""

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
    """Return the repositories for an EL family, or for the release with this code name. Raises BadInput."""
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
    """Raise BadInput for replacements in the plan whose repository the plan does not define."""
    known = {repository.id for repository in public}
    for option, ids in (
        ("--keep-repository-urls", replaced.urls if replaced.keep else ()),
        ("--repository-key", replaced.keys),
    ):
        unknown = sorted(set(ids) - known)
        if unknown:
            raise BadInput(
                f"{option}: the plan of this base defines no repository {', '.join(unknown)}.",
                did_you_mean.hint(unknown, known, f"It defines {', '.join(sorted(known)) or 'none'}."),
            )


def _replace(repository: Repository, replaced: Replaced) -> Repository:
    url = replaced.urls.get(repository.id, repository.url) if replaced.keep else repository.url
    keys = (replaced.keys[repository.id],) if repository.id in replaced.keys else repository.keys
    return replace(repository, url=url, keys=keys)


def parse_options(urls: Sequence[str], keys: Sequence[str], *, keep: bool) -> Replaced:
    """Parse the options ID=URL and ID=FILE. Raises BadInput."""
    if keep and not urls:
        raise BadInput("--keep-repository-urls requires --repository-url.")
    named = dict(_pair(entry, "--repository-url ID=URL") for entry in urls)
    for name, url in named.items():
        if not _URL.fullmatch(url):
            raise BadInput(
                f"--repository-url {name}= requires a URL with http:// or https://.",
                "It must not contain blanks, quotes or a password.",
            )
    files = dict(_pair(entry, "--repository-key ID=FILE") for entry in keys)
    return Replaced(named, {name: _own_key(name, Path(file)) for name, file in files.items()}, keep)


def _pair(entry: str, form: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not equals or not value or not re.fullmatch(r"[A-Za-z0-9_.:-]+", name):
        raise BadInput(f"{entry!r} does not have the form {form}.")
    return name, value


def _own_key(name: str, file: Path) -> Key:
    try:
        content = named_file.content(file)
    except OSError as error:
        raise BadInput(f"--repository-key {name}: cannot read {file}: {error.strerror}.") from None
    if not content.lstrip().startswith(_BEGIN):
        raise BadInput(
            f"--repository-key {name}: {file} is not an armored public key.", "Use gpg --armor --export."
        )
    return Key(f"worker-{name}", content)
