"""Files that define package repositories, and copies of them with other URLs.

Repository ids are the sections of /etc/yum.repos.d/*.repo, and NAME of
/etc/apt/sources.list.d/worker-NAME.sources. The functions convert texts; targets write the results.
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
# With any of these, yum would use other hosts than our baseurl.
_WHERE = re.compile(r"\s*(baseurl|mirrorlist|metalink)\s*=")


def ids(path: str, text: str) -> frozenset[str]:
    """The ids of the repositories that a file defines; empty for other files."""
    if PurePosixPath(path).match(f"{YUM}/*.repo"):
        return frozenset(found[1] for row in text.splitlines() if (found := _SECTION.match(row)))
    if PurePosixPath(path).match(f"{APT}*.sources"):
        return frozenset({path.removeprefix(APT).removesuffix(".sources")})
    return frozenset()


def with_urls(path: str, text: str, urls: Mapping[str, str]) -> str:
    """The text of the file, with the URLs of repositories replaced by those in `urls` (by id)."""
    if path.endswith(".repo"):
        return _yum(text, urls)
    url = next((urls[name] for name in ids(path, text) if name in urls), "")
    return re.sub(r"(?m)^URIs:.*$", lambda _: f"URIs: {url}", text) if url else text


def temporary_definitions(
    files: Mapping[str, str], urls: Mapping[str, str], *, mirror: bool
) -> dict[str, str]:
    """The definitions that a build reads, with these URLs: from texts by path to texts by FOLDER/NAME.

    With `mirror`, definitions of the distribution are omitted: its mirror replaces them.
    """
    return {
        "/".join(PurePosixPath(path).parts[-2:]): with_urls(path, text, urls)
        for path, text in files.items()
        if ids(path, text) or not mirror
    }


def check(urls: Mapping[str, str], plan: Plan, files: Mapping[str, str]) -> None:
    """Raises BadInput if a URL is for an unknown repository id.

    Otherwise a misspelled id would silently use the public repository. `files`: texts by path.
    """
    put = [action for step in plan.steps for action in step.actions if isinstance(action, Put)]
    planned = {each.path: each.data.decode("utf-8", "replace") for each in put}
    known = frozenset[str]().union(*(ids(*file) for file in (*files.items(), *planned.items())))
    unknown = sorted(set(urls) - known)
    if unknown:
        raise BadInput(
            f"--repository-url: neither the base nor the plan defines a repository {', '.join(unknown)}.",
            did_you_mean.hint(unknown, known, f"Known repositories: {', '.join(sorted(known)) or 'none'}."),
        )


def _yum(text: str, urls: Mapping[str, str]) -> str:
    rows: list[str] = []
    url: str | None = None
    continued = False
    for row in text.splitlines():
        section = _SECTION.match(row)
        # Lines that begin with a space continue a value.
        continued = bool(url) and (bool(_WHERE.match(row)) or (continued and row[:1] in (" ", "\t")))
        if not continued:
            rows.append(row)
        if section:
            url = urls.get(section[1])
            rows += [f"baseurl={url}"] if url else []
    return "".join(f"{row}\n" for row in rows)


def with_main(text: str, settings: Mapping[str, str]) -> str:
    """The text of a yum.conf or dnf.conf with these settings replaced or added in its section [main]."""
    own = re.compile(rf"\s*({'|'.join(settings)})\s*=")
    rows = [row for row in text.splitlines() if not own.match(row)]
    if "[main]" not in rows:
        rows.insert(0, "[main]")
    at = rows.index("[main]") + 1
    return "".join(
        f"{row}\n" for row in [*rows[:at], *(f"{n}={v}" for n, v in settings.items()), *rows[at:]]
    )
