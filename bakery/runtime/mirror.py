"""Find the Debian mirror: from an option, or from the apt configuration of this machine.

The mirror is used during the build only; neither the image nor its id depends on it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import BadInput

_APT = Path("/etc/apt")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Of Debian's archive: the mirrors of derivatives (Ubuntu's noble) and of others have suites of other names.
_CODENAMES = ("bullseye", "bookworm", "trixie", "forky", "duke", "sid")
_SUITES = frozenset((*_CODENAMES, "oldoldstable", "oldstable", "stable", "testing", "unstable"))
_SECURITY = frozenset(f"{name}-security" for name in _SUITES)


@dataclass(frozen=True)
class Mirror:
    """URLs of the Debian archive and of the security archive ("" if unknown).

    `expires` false: apt does not check until when the package lists are valid, as those of a snapshot.
    """

    main: str
    security: str
    expires: bool = True

    def sources(self, release: str) -> str:
        """Return the deb822 sources of a release, as in /etc/apt/sources.list.d/."""
        entries = [_entry(self.main, f"{release} {release}-updates", self.expires)]
        if self.security:
            entries.append(_entry(self.security, f"{release}-security", self.expires))
        return "\n".join(entries)

    def suites(self, release: str) -> tuple[str, ...]:
        """Return the URLs of the suites in `sources`, where their indexes are."""
        main = (f"{self.main}/dists/{suite}" for suite in (release, f"{release}-updates"))
        return (*main, *([f"{self.security}/dists/{release}-security"] if self.security else []))


@dataclass(frozen=True)
class Snapshot:
    """The Debian archive at a time (20251101T000000Z), on a mirror of its snapshots.

    `template` is a URL with {timestamp}; with {archive} it has the security archive as well.
    """

    timestamp: str
    template: str

    def mirror(self) -> Mirror:
        """The URLs at that time."""
        main, security = (self._url(archive) for archive in ("debian", "debian-security"))
        return Mirror(main, security if "{archive}" in self.template else "", expires=False)

    def _url(self, archive: str) -> str:
        url = self.template.replace("{timestamp}", self.timestamp).replace("{archive}", archive)
        return url.rstrip("/")


def snapshot(date: str, template: str) -> Snapshot:
    """Parse the value of --snapshot: 2025-11-01, or 20251101T120000Z, in UTC. Raises BadInput."""
    if not template:
        raise BadInput(
            "--snapshot requires a snapshot mirror.",
            "Add --snapshot-mirror 'http://MIRROR/archive/{archive}/{timestamp}', or set snapshot-mirror "
            "in the configuration file.",
        )
    try:
        found = datetime.datetime.fromisoformat(date)
    except ValueError:
        raise BadInput(
            f"--snapshot: {date!r} is not a date.", "Write 2025-11-01 or 20251101T120000Z (UTC)."
        ) from None
    at = found.astimezone(datetime.UTC) if found.tzinfo else found
    return Snapshot(at.strftime("%Y%m%dT%H%M%SZ"), template)


def preferences(release: str) -> str:
    """Return apt_preferences(5) that prefer this release over all others."""
    suites = (release, f"{release}-updates", f"{release}-security")
    return "\n".join(f"Package: *\nPin: release n={suite}\nPin-Priority: 990\n" for suite in suites)


@dataclass(frozen=True)
class Source:
    """An entry of an apt configuration."""

    url: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def find(option: str = "", apt: Path = _APT) -> Mirror:
    """Return the mirror of the option, else that of this machine's apt configuration.

    Raises BadInput when neither names a mirror.
    """
    if option:
        return Mirror(option.rstrip("/"), "")
    sources = [source for source in read_sources(apt) if "main" in source.components]
    security = [s.url for s in sources if not _SECURITY.isdisjoint(s.suites)]
    main = [s.url for s in sources if not _SUITES.isdisjoint(s.suites)]
    if not main:
        raise BadInput(
            f"The apt configuration in {apt} does not contain a Debian mirror.",
            "Use --mirror http://MIRROR/debian.",
        )
    return Mirror(main[0], security[0] if security else "")


def read_sources(apt: Path) -> Iterator[Source]:
    """Yield all enabled binary sources of an apt configuration folder, such as /etc/apt."""
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if path.is_file() and path.suffix == ".sources":
            yield from _deb822(path.read_text())
        elif path.is_file() and path.suffix == ".list":
            yield from _one_line(path.read_text())


def _deb822(text: str) -> Iterator[Source]:
    lines = [row for row in text.splitlines() if not row.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = {
            key.strip().lower(): value.split()
            for key, _, value in (row.partition(":") for row in stanza.splitlines())
        }
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
            for url in fields.get("uris", []):
                yield _source(url, fields.get("suites", []), fields.get("components", []))


def _one_line(text: str) -> Iterator[Source]:
    for row in text.splitlines():
        found = re.match(r"deb\s+(?:\[[^]]*]\s+)?(\S+)\s+(\S+)\s+(.*)", row)
        if found:
            yield _source(found[1], [found[2]], found[3].split("#")[0].split())


def _source(url: str, suites: list[str], components: list[str]) -> Source:
    return Source(url.rstrip("/"), tuple(suites), tuple(components))


def _entry(url: str, suites: str, expires: bool) -> str:
    check = "" if expires else "Check-Valid-Until: no\n"
    return f"Types: deb\nURIs: {url}\nSuites: {suites}\nComponents: main\n{check}Signed-By: {_KEYRING}\n"
