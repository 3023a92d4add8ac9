"""The options that set one key of the worker's file each, in convenient units.

An option, a column of a batch table and `--set Key=value` all give the text of a key.
bakery/userdata/rendering.py checks that text by the kind of the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from bakery.userdata import characters, rendering
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

TOKEN_SOURCES = ("TokenFile", "TokenCommand")
SERVER_CREDENTIAL, CREDENTIAL_COMMAND = CREDENTIALS = ("ServerCredential", "ServerCredentialCommand")
_NUMBER = re.compile(r"[0-9]{1,8}(\.[0-9]{1,8})?")


@dataclass(frozen=True)
class Option:
    """`seconds` is the length of one unit, 0 for text; `zero` says whether 0 (disabled) is allowed."""

    flag: str
    key: str
    metavar: str
    help: str
    seconds: int = 0
    zero: bool = True

    @property
    def name(self) -> str:
        """The name of the column of a table and of the attribute of the parser."""
        return self.flag.removeprefix("--").replace("-", "_")


TOKEN_OPTIONS = (
    Option("--worker-token-file", "TokenFile", "PATH", "file on the worker from which it reads the token"),
    Option(
        "--worker-token-command", "TokenCommand", "COMMAND", "command that the worker runs to get the token"
    ),
)
LIFECYCLE_OPTIONS = (
    Option(
        "--idle-minutes", "IdleTimeout", "N", "shut down after N minutes without a job; 0 disables this", 60
    ),
    Option(
        "--join-minutes",
        "JoinTimeout",
        "N",
        "shut down after N minutes outside the pool; 0 disables this",
        60,
    ),
    Option("--max-hours", "MaxLifetime", "H", "shut down at most H hours after boot", 3600, zero=False),
    Option(
        "--on-idle",
        "OnIdle",
        "poweroff|stop|none|delete",
        "power off, stop HTCondor only, do not shut down, or delete the server in OpenStack",
    ),
)
PROMINENCE_OPTIONS = (
    Option("--cloud", "Cloud", "NAME", "cloud of the worker"),
    Option("--region", "Region", "NAME", "region of the cloud"),
    Option("--node-group", "NodeGroup", "NAME", "group that owns the machine"),
    Option("--schedd-name", "ScheddName", "NAME", "also run parallel jobs of this schedd"),
    Option("--job-id", "JobId", "ID", "run only this job"),
    Option(
        "--idle-timeout",
        "IdleTimeout",
        "SECONDS",
        "shut down after this time without a job; 0 disables this",
        1,
    ),
)


@cache
def options(kind: str = "osg") -> tuple[Option, ...]:
    """Return the options for the keys of a kind of worker."""
    more = PROMINENCE_OPTIONS if kind == "prominence" else ()
    return (*TOKEN_OPTIONS, *LIFECYCLE_OPTIONS, *more)


@cache
def settable(kind: str = "osg") -> tuple[str, ...]:
    """Return the keys without an option of their own, which --set accepts; no secret is in an argument."""
    with_option = {*(option.key for option in options(kind)), SERVER_CREDENTIAL}
    rows = (key for key in rendering.worker_keys(kind) if key.setting in rendering.setting_keys(kind))
    return tuple(key.key for key in rows if key.setting not in with_option)


def value_of(option: Option, text: str) -> str:
    """Return the text of the key; its kind is checked later.

    Raises BadInput for an empty text, a text that contains a token, and what is not a number of units.
    """
    if not option.seconds:
        return _text(option.flag, text)
    if not _NUMBER.fullmatch(text):
        hint = characters.removal(text) or "Use a number such as 20 or 1.5."
        raise BadInput(f"{option.flag} is not a number: {text!r}.", hint)
    seconds = round(float(text) * option.seconds)
    if seconds == 0 and not (option.zero and float(text) == 0):
        raise BadInput(f"{option.flag} must be greater than {text}.")
    return str(seconds)


def from_assignments(words: Iterable[str], kind: str = "osg") -> dict[str, str]:
    """Return the settings from words of the form Key=value. Raises BadInput for an invalid word."""
    by_name = {key.key: key.setting for key in rendering.worker_keys(kind) if key.key in settable(kind)}
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise BadInput("--set requires Key=value.", f"The keys are {', '.join(by_name)}.")
        if key not in by_name:
            raise BadInput(f"--set does not accept the key {scrub(key)[:40]!r}.", _suggestion(key, kind))
        if by_name[key] in found:
            raise BadInput(f"--set {key} is given twice.", "Use it once.")
        found[by_name[key]] = _text(f"--set {key}", value)
    return found


def from_options(texts: Mapping[str, str | None], kind: str) -> dict[str, str]:
    """Return the settings from the texts of the options, by the name of the option; None sets nothing.

    Raises BadInput for an option of another kind of worker, and for two options of the same setting.
    """
    found: dict[str, str] = {}
    for option in (*options("osg"), *PROMINENCE_OPTIONS):
        text = texts.get(option.name)
        if text is None:
            continue
        if option not in options(kind):
            raise BadInput(
                f"{option.flag} requires --worker prominence.", "Omit it, or add --worker prominence."
            )
        if option.key in found:
            raise BadInput(
                f"{option.flag} sets {option.key}, which another option also sets.", "Use one of them."
            )
        found[option.key] = value_of(option, text)
    return found


def from_row(row: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the settings of a row of a table; an empty field sets nothing."""
    by_option = from_options({option.name: row[option.name] or None for option in options(kind)}, kind)
    return by_option | from_assignments((f"{key}={row[key]}" for key in settable(kind) if row[key]), kind)


def _text(what: str, text: str) -> str:
    if not text:
        raise BadInput(f"{what} is empty.", "Omit it to keep the setting of the image.")
    if scrub(text) != text:
        raise BadInput(f"{what} contains a token, which other users could read.", "Use --token-file FILE.")
    return text


def _suggestion(key: str, kind: str) -> str:
    """Suggest the option that sets this key, or a key with a similar name."""
    by_setting = {option.key: option.flag for option in options(kind)} | {
        "Token": "--token-file",
        "Start": "--project, --owner or --start",
        "WorkerGroupName": "--group-name",
        "CentralManager": "--pool",
    }
    rows = rendering.worker_keys(kind)
    flags = {row.key: by_setting[row.setting] for row in rows if row.setting in by_setting}
    found = did_you_mean.similar(key, (*flags, *settable(kind)))
    if not found:
        return f"The keys are {', '.join(settable(kind))}."
    return f"Use {flags[found[0]]}." if found[0] in flags else did_you_mean.question(found)
