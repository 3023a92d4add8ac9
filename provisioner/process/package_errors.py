"""Recognize the error messages of yum, dnf and rpm about repositories and packages.

The messages are those of dnf 4 (librepo) and of yum 3 in EL7; tests produce them with dnf.
"""

from __future__ import annotations

import re

from provisioner.errors import BadInput, BakeryError, Unreachable, WrongChecksum

# Check signatures and digests first: their follow-up messages read like an unreachable repository.
_UNTRUSTED = re.compile(
    r".*(GPG check FAILED|is not signed|[Bb]ad GPG signature|Public key for .* is not installed|"
    r"has the fingerprint .*, pinned is|Public key is not installed|GPG key retrieval failed|"
    r"keys listed for|Failing package is).*"
)
_UNREACHABLE = re.compile(
    r".*(Failed to download metadata for repo|Cannot prepare internal mirrorlist|"
    r"Cannot find a valid baseurl|Cannot retrieve (?:repository metadata|metalink)|"
    r"Cannot download repomd|No more mirrors to try|All mirrors were tried|Curl error \(|Errno 14\]).*"
)
_REPOSITORY = (
    r"for repo '([^']+)'",
    r"for repository:? '([^']+)'",
    r'for the "([^"]+)" repository',
    r"valid baseurl for repo: ([^/\s]+)",
    r"metadata \(repomd\.xml\) for repository: ([^/\s]+)",
    r"repomd\.xml from ([^:\s]+)",
)
_WHY = re.compile(r".*(Curl error \(|Status code: \d+|\[Errno 14\]|checksum doesn't match).*")
_NO_PACKAGE = re.compile(
    r"(?:Unable to find a match: (.+)|No package (\S+) available|^package (\S+) is not installed$)",
    re.MULTILINE,
)


def cause(tail: str) -> BakeryError | None:
    """The error for the last output lines of a package manager; None if they are about something else."""
    return _untrusted(tail) or _unreachable(tail) or _unknown(tail)


def _untrusted(tail: str) -> BakeryError | None:
    reason = _UNTRUSTED.search(tail)
    if reason is None:
        return None
    name = _repository(tail)
    of = f" of the repository {name}" if name else ""
    name = name if name and " " not in name else "ID"  # dnf sometimes prints the title instead of the id
    return WrongChecksum(
        f"The signature of a package{of} is not trusted: {_all(tail, _UNTRUSTED)}",
        "The package was not installed. If the mirror signs packages with its own key, add "
        f"--repository-key {name}=FILE; otherwise choose another mirror with --repository-url {name}=URL.",
    )


def _unreachable(tail: str) -> BakeryError | None:
    unreachable = _UNREACHABLE.search(tail)
    if unreachable is None:
        return None
    name = _repository(tail)
    reason = (_WHY.search(tail) or unreachable)[0].strip(" -")
    return Unreachable(
        f"Cannot read the package repository {name or '(unnamed)'}: {reason}",
        "Check the network, the clock and the URL, "
        f"or add --repository-url {name or 'ID'}=URL to use a mirror.",
    )


def _unknown(tail: str) -> BakeryError | None:
    found = _NO_PACKAGE.search(tail)
    if found is None:
        return None
    names = next(group for group in found.groups() if group)
    return BadInput(
        f"No package repository of this base offers the package {names}.",
        "If you use --repository-url, check that the mirror is complete.",
    )


def _repository(tail: str) -> str:
    for pattern in _REPOSITORY:
        found = re.search(pattern, tail)
        if found:
            return found[1]
    return ""


def _all(tail: str, pattern: re.Pattern[str]) -> str:
    return " ".join(found[0].strip() for found in pattern.finditer(tail))
