"""Files that define package repositories, and the same with a user's URLs in the place of some.

Ids are the sections of /etc/yum.repos.d/*.repo, and NAME of /etc/apt/sources.list.d/worker-NAME.sources.
Texts in, texts out; who lends the result to a build is the target's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from provisioner.roles.repositories import APT, YUM

_SECTION = re.compile(r"\[([^]]+)\]\s*$")
# Each of them is a way to find other hosts than the baseurl.
_WHERE = re.compile(r"\s*(baseurl|mirrorlist|metalink)\s*=")


def ids(path: str, text: str) -> frozenset[str]:
    """Which repositories a file of this path defines; none, if it is no such file."""
    if PurePosixPath(path).match(f"{YUM}/*.repo"):
        return frozenset(found[1] for row in text.splitlines() if (found := _SECTION.match(row)))
    if PurePosixPath(path).match(f"{APT}*.sources"):
        return frozenset({path.removeprefix(APT).removesuffix(".sources")})
    return frozenset()


def repointed(path: str, text: str, urls: Mapping[str, str]) -> str:
    """The file's text, with these URLs for the repositories they name."""
    if path.endswith(".repo"):
        return _yum(text, urls)
    url = next((urls[name] for name in ids(path, text) if name in urls), "")
    return re.sub(r"(?m)^URIs:.*$", lambda _: f"URIs: {url}", text) if url else text


def _yum(text: str, urls: Mapping[str, str]) -> str:
    rows: list[str] = []
    url: str | None = None
    continued = False
    for row in text.splitlines():
        section = _SECTION.match(row)
        # A value goes on in the rows that begin with a blank.
        continued = bool(url) and (bool(_WHERE.match(row)) or (continued and row[:1] in (" ", "\t")))
        if not continued:
            rows.append(row)
        if section:
            url = urls.get(section[1])
            rows += [f"baseurl={url}"] if url else []
    return "".join(f"{row}\n" for row in rows)


def with_main(text: str, settings: Mapping[str, str]) -> str:
    """yum.conf or dnf.conf with these settings in its section [main], in the place of its own."""
    own = re.compile(rf"\s*({'|'.join(settings)})\s*=")
    rows = [row for row in text.splitlines() if not own.match(row)]
    if "[main]" not in rows:
        rows.insert(0, "[main]")
    at = rows.index("[main]") + 1
    return "".join(
        f"{row}\n" for row in [*rows[:at], *(f"{n}={v}" for n, v in settings.items()), *rows[at:]]
    )
