"""Files that define package repositories, and the same with a user's URLs in the place of some.

Ids are the sections of /etc/yum.repos.d/*.repo, and NAME of /etc/apt/sources.list.d/worker-NAME.sources.
Texts in, texts out; who lends the result to a build is the target's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from provisioner import did_you_mean
from provisioner.actions import Put
from provisioner.errors import BadInput
from provisioner.packages.repositories import APT, YUM
from provisioner.plan import Plan

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


def with_urls(path: str, text: str, urls: Mapping[str, str]) -> str:
    """The file's text, with these URLs for the repositories they name."""
    if path.endswith(".repo"):
        return _yum(text, urls)
    url = next((urls[name] for name in ids(path, text) if name in urls), "")
    return re.sub(r"(?m)^URIs:.*$", lambda _: f"URIs: {url}", text) if url else text


def temporary_definitions(
    files: Mapping[str, str], urls: Mapping[str, str], *, mirror: bool
) -> dict[str, str]:
    """Of these definitions (texts, by path) what a build reads, by FOLDER/NAME: with these URLs.

    Where a mirror of the distribution is lent, its own definitions are left out.
    """
    return {
        "/".join(PurePosixPath(path).parts[-2:]): with_urls(path, text, urls)
        for path, text in files.items()
        if ids(path, text) or not mirror
    }


def check(urls: Mapping[str, str], plan: Plan, files: Mapping[str, str]) -> None:
    """A name that is spelled wrong must not mean that the public repository is used. Raises BadInput."""
    put = [action for step in plan.steps for action in step.actions if isinstance(action, Put)]
    planned = {each.path: each.data.decode("utf-8", "replace") for each in put}
    known = frozenset[str]().union(*(ids(*file) for file in (*files.items(), *planned.items())))
    unknown = sorted(set(urls) - known)
    if unknown:
        raise BadInput(
            f"--repository-url: neither the base nor the plan defines a repository {', '.join(unknown)}.",
            did_you_mean.hint(unknown, known, f"There are {', '.join(sorted(known)) or 'none'}."),
        )


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
