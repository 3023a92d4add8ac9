"""The options that set one key of the worker's file each, in the units that people think in.

An option, a column of a batch's table, and `--set Key=value` all end as the text of a key; whether the
worker takes that text is for the key's kind to say (bakery/userdata/rendering.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from bakery.userdata import rendering
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

TOKEN_SOURCES = ("TokenFile", "TokenCommand")
_NUMBER = re.compile(r"[0-9]{1,8}(\.[0-9]{1,8})?")


@dataclass(frozen=True)
class Option:
    """`seconds` are those of one unit of the option, 0 for what is text; `zero`: is 0 (never) allowed?"""

    flag: str
    key: str
    metavar: str
    help: str
    seconds: int = 0
    zero: bool = True

    @property
    def name(self) -> str:
        """Of the column of a table, and of the parser's attribute."""
        return self.flag.removeprefix("--").replace("-", "_")


TOKEN_OPTIONS = (
    Option(
        "--worker-token-file", "TokenFile", "PATH", "the worker reads the token from this file of its own"
    ),
    Option("--worker-token-command", "TokenCommand", "COMMAND", "the worker runs COMMAND to get the token"),
)
LIFE_OPTIONS = (
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
        "--on-idle", "OnIdle", "poweroff|stop|none", "power off, stop HTCondor only, or do not shut down"
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
    """Those that a kind of worker has a key for."""
    more = PROMINENCE_OPTIONS if kind == "prominence" else ()
    return (*TOKEN_OPTIONS, *LIFE_OPTIONS, *more)


@cache
def settable(kind: str = "osg") -> tuple[str, ...]:
    """The keys without an option of their own."""
    taken = {option.key for option in options(kind)}
    rows = (key for key in rendering.worker_keys(kind) if key.setting in rendering.setting_keys(kind))
    return tuple(key.key for key in rows if key.setting not in taken)


def value_of(option: Option, text: str) -> str:
    """The text of the key. Raises BadInput; whether a text is what its kind wants is seen later."""
    if not option.seconds:
        return _text(option.flag, text)
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"{option.flag} is not a number: {text!r}.", "Write it like 20 or 1.5.")
    seconds = round(float(text) * option.seconds)
    if seconds == 0 and not (option.zero and float(text) == 0):
        raise BadInput(f"{option.flag} must be more than {text}.")
    return str(seconds)


def assigned(words: Iterable[str], kind: str = "osg") -> dict[str, str]:
    """Of `Key=value` words, as --set has them: the settings."""
    by_name = {key.key: key.setting for key in rendering.worker_keys(kind) if key.key in settable(kind)}
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise BadInput("--set wants Key=value.", f"The keys are {', '.join(by_name)}.")
        if key not in by_name:
            raise BadInput(f"--set does not take {scrub(key)[:40]!r}.", _instead(key, kind))
        if by_name[key] in found:
            raise BadInput(f"--set {key} is given twice.", "Give it once.")
        found[by_name[key]] = _text(f"--set {key}", value)
    return found


def chosen(texts: Mapping[str, str | None], kind: str) -> dict[str, str]:
    """The settings of the kind's options, by the names of these; what is None or empty sets nothing.

    Raises BadInput for an option of another kind, and for two options of one setting.
    """
    found: dict[str, str] = {}
    for option in (*options("osg"), *PROMINENCE_OPTIONS):
        text = texts.get(option.name)
        if text is None:
            continue
        if option not in options(kind):
            raise BadInput(f"{option.flag} goes with --worker prominence.", "Leave it away.")
        if option.key in found:
            raise BadInput(f"{option.flag} says again what another option says.", "Give one of them.")
        found[option.key] = value_of(option, text)
    return found


def of_row(row: Mapping[str, str], kind: str) -> dict[str, str]:
    """What the row of a table sets; an empty field sets nothing."""
    by_option = chosen({option.name: row[option.name] or None for option in options(kind)}, kind)
    return by_option | assigned((f"{key}={row[key]}" for key in settable(kind) if row[key]), kind)


def _text(what: str, text: str) -> str:
    if not text:
        raise BadInput(f"{what} is empty.", "Leave it away to keep what the image has.")
    if scrub(text) != text:
        raise BadInput(f"{what} got a token, where others could read it.", "Use --token-file FILE.")
    return text


def _instead(key: str, kind: str) -> str:
    """The option that sets this key, or the key that it is like."""
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
