"""The tokens that `token create` makes: who gets one, what it allows, and the same command of HTCondor."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bakery.tokens import signing
from bakery.tokens.claims import LEVELS
from provisioner import did_you_mean
from provisioner.errors import BadInput

DEFAULT_LIFETIME = 7 * 86400  # seconds
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST = 20 * 365 * 86400
# Narrower than HTCondor's: an identity is also the name of a file.
_IDENTITY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}@[A-Za-z0-9][A-Za-z0-9.-]{0,127}")
_MOST_IDENTITIES = 10_000


@dataclass(frozen=True)
class Request:
    """`lifetime` in seconds; `signing_key` is the content of the file `key_file`."""

    signing_key: bytes = field(repr=False)
    key_file: Path
    key_name: str
    issuer: str
    scopes: tuple[str, ...]
    lifetime: int
    is_password: bool = False

    def token(self, identity: str, now: int) -> str:
        """Return a token of this identity. Raises BadInput: HTCondor would reject it."""
        return signing.mint(
            self.signing_key,
            self.key_name,
            issuer=self.issuer,
            subject=identity,
            scopes=self.scopes,
            lifetime=self.lifetime,
            now=now,
            is_password=self.is_password,
        )


def parse_lifetime(text: str) -> int:
    """Return the seconds of `7d`, `12h`, `90min` or `3600` (seconds). Raises BadInput."""
    match = re.fullmatch(r"([0-9]{1,12})\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in _UNITS:
        raise BadInput(f"{text!r} is not a duration.", "Use a number with s, min, h, d or w, such as 7d.")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= _LONGEST:
        raise BadInput(f"The duration {text!r} is not between 1 second and 20 years.")
    return seconds


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct authorization levels, in upper case. Raises BadInput for an unknown one."""
    found = tuple(dict.fromkeys(scope.upper() for scope in scopes))
    if unknown := [scope for scope in found if scope not in LEVELS]:
        hint = did_you_mean.hint(unknown, LEVELS, f"The levels are {', '.join(LEVELS)}.")
        raise BadInput(f"HTCondor has no authorization level {unknown[0]!r}.", hint)
    return found


def check_identity(text: str, where: str = "") -> str:
    """Return the identity. Raises BadInput for one that is not user@domain; `where` begins the message."""
    if not _IDENTITY.fullmatch(text):
        raise BadInput(
            f"{where}{text!r} is not an identity.",
            "An identity has the form user@domain, of letters, digits and . _ + -",
        )
    return text


def parse_identities(text: str, name: str) -> list[str]:
    """Return the identities of a file: one a line, blank lines and # comments are allowed.

    `name` is the file's, for messages. Raises BadInput for an invalid or repeated identity, and for none.
    """
    found: dict[str, int] = {}
    for number, row in enumerate(text.splitlines(), 1):
        identity = row.partition("#")[0].strip()
        if not identity:
            continue
        check_identity(identity, f"{name}, line {number}: ")
        if identity in found:
            raise BadInput(f"{name}, line {number}: {identity} is already in line {found[identity]}.")
        found[identity] = number
    if not found:
        raise BadInput(f"{name} contains no identity.", "Write one identity a line, such as alice@cloud.")
    if len(found) > _MOST_IDENTITIES:
        raise BadInput(f"{name} has more than {_MOST_IDENTITIES} identities.")
    return list(found)


def file_name(identity: str) -> str:
    """Return the name of an identity's token file, one that HTCondor reads in tokens.d."""
    return f"{identity}.jwt"


def condor_token_create(request: Request, identity: str, output: str) -> str:
    """Return HTCondor's command for the same token, to run as root on the central manager."""
    scopes: Sequence[str] = [word for scope in request.scopes for word in ("-authz", scope)]
    words = ["condor_token_create", "-identity", identity, "-key", request.key_name, *scopes]
    return shlex.join([*words, "-lifetime", str(request.lifetime), "-file", output])
