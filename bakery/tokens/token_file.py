"""Token files as HTCondor reads them: which lines are tokens, and which files it ignores.

HTCondor silently ignores a token file whose owner is not the user who reads it, which others can access, or
whose name LOCAL_CONFIG_DIR_EXCLUDE_REGEXP excludes (findTokens and read_secure_file of its source).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bakery.tokens.claims import claims_of
from bakery.tokens.problems import Problem, error, problems_of, warning
from provisioner.errors import BadInput

NAMES = ("open-token-file", "foreign-token-file", "ignored-token-file", "marked-token-file")
FOLDER = "tokens.d"
LIMIT = 64 * 1024  # bytes
# The default of LOCAL_CONFIG_DIR_EXCLUDE_REGEXP (condor_utils/param_info.in).
_IGNORED = r"(\..*|.*\.(pl|py|sh|rpmsave|rpmnew|dpkg-old|dpkg-dist|cfsaved)|.*~|#.*)"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class FileFacts:
    """What decides whether HTCondor reads a file; `reader` is the owner of its folder tokens.d, if any."""

    path: Path
    mode: int
    owner: int
    reader: int | None = None


@dataclass(frozen=True)
class Line:
    """A token in a file; the number of the first line is 1."""

    number: int
    token: str


def lines_of(data: bytes) -> list[Line]:
    """Return the tokens of a file: its lines without blank ones and # comments.

    Of a file that begins with a byte order mark, HTCondor ignores the first line; it is left out if another
    one has a token. Raises BadInput: the file has none.
    """
    text = data.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    rows = enumerate((row.strip() for row in text.split("\n")), 1)
    found = [Line(number, row) for number, row in rows if row and not row.startswith("#")]
    if not found:
        raise BadInput("The file contains no token.", "It must have a line that begins with eyJ.")
    read = [line for line in found if line.number > 1] if data.startswith(_BYTE_ORDER_MARK) else found
    return read or found


def facts_of(path: Path) -> FileFacts | None:
    """Return the facts about a file; None for a pipe such as <(pass token). Raises OSError."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        return None
    # The folder by its name, as HTCondor opens it: the file may be a symbolic link.
    folder = path.absolute().parent
    reader = folder.stat().st_uid if folder.name == FOLDER else None
    return FileFacts(path, stat.S_IMODE(found.st_mode), found.st_uid, reader)


def problems_of_file(facts: FileFacts | None, data: bytes = b"") -> Iterator[Problem]:
    """Yield why HTCondor ignores a token file. Its name and owner are errors in a folder tokens.d only.

    A byte order mark is an error if the only token is in the first line.
    """
    if data.startswith(_BYTE_ORDER_MARK):
        is_only = lines_of(data)[0].number == 1
        yield (error if is_only else warning)(
            "marked-token-file",
            "The file begins with a byte order mark, so HTCondor ignores its first line.",
            "Save the file as ASCII, or as UTF-8 without a byte order mark.",
        )
    if facts is None:
        return
    if facts.mode & 0o077:
        yield error(
            "open-token-file",
            f"Other users have access to {facts.path} (mode {facts.mode:04o}); HTCondor ignores it.",
            f"Run: chmod 600 {facts.path}",
        )
    if facts.reader is not None and facts.owner != facts.reader:
        yield error(
            "foreign-token-file",
            f"{facts.path} belongs to user {facts.owner}, its folder to user {facts.reader};"
            " HTCondor ignores a token file that is not its own.",
            f"Run: chown {facts.reader} {facts.path}",
        )
    yield from _name(facts)


def _name(facts: FileFacts) -> Iterator[Problem]:
    if not is_ignored(facts.path.name):
        return
    text = f"HTCondor ignores a token file with the name {facts.path.name}."
    fix = (
        "Choose a name that does not begin with . or #, and ends with neither ~ nor .sh, .py, .pl, .rpmnew."
    )
    if facts.reader is not None:
        yield error("ignored-token-file", text, fix)
    else:
        yield warning("ignored-token-file", text, fix)


def is_ignored(name: str) -> bool:
    """Return whether HTCondor ignores a file of this name in tokens.d."""
    return re.fullmatch(_IGNORED, name) is not None


@dataclass(frozen=True)
class Judged:
    """A token of a file and its problems."""

    line: Line
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        return not any(one.severity == "error" for one in self.problems)


def judge(lines: list[Line], *, pool: str = "", trust_domain: str = "", now: float) -> list[Judged]:
    """Return the problems of each token that a worker might use.

    HTCondor uses the first token whose issuer is the pool's trust domain. So if `trust_domain` is known and
    a token fits, tokens of other issuers are not judged, and are left out.
    """
    if trust_domain:
        fitting = [one for one in lines if _issuer(one) == trust_domain]
        lines = fitting or lines
    return [
        Judged(one, tuple(problems_of(one.token, pool=pool, trust_domain=trust_domain, now=now)))
        for one in lines
    ]


def _issuer(line: Line) -> str:
    claims = claims_of(line.token)
    return claims.issuer if claims else ""
