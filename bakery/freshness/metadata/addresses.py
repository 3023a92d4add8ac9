"""Where a repository is read now: the URL of an option, a mirror of this machine, or its public URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bakery.freshness.lock import Repository
from bakery.runtime import mirror
from provisioner.errors import BadInput, Unreachable


@dataclass(frozen=True)
class Addresses:
    """The options: `distribution` is --mirror, `urls` are those of --repository-url by repository id."""

    distribution: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)

    def of(self, repository: Repository) -> str:
        """The URL without a slash at its end. Raises Unreachable if no mirror is known."""
        named = self.urls.get(repository.id.split(" ")[0], "")
        if named:
            return named.rstrip("/")
        if repository.uri or repository.mirror_list:
            return (repository.url or repository.uri or repository.mirror_list).rstrip("/")
        return self._mirror(repository)

    def _mirror(self, repository: Repository) -> str:
        if repository.url and not (self.distribution and repository.expires):
            return repository.url.rstrip("/")
        try:
            found = mirror.find(self.distribution)
        except BadInput as error:
            raise Unreachable(f"{error.message} {error.hint}") from None
        url = found.security if repository.security else found.main
        if not url:
            raise Unreachable(
                "No mirror of Debian's security archive is known.",
                "Add it to the APT sources of this machine.",
            )
        return url.rstrip("/")
