"""Defaults of options: a configuration file and the variables WORKER_BAKERY_*.

    pool = "campus"                        # ~/.config/worker-bakery/config.toml, or below XDG_CONFIG_HOME
    trust-domain = "cm.example.edu"
    mirror = "http://mirror.example.edu/debian"
    cache = "~/worker-bakery-cache"
    cloud = "openstack"

An option on the command line takes precedence over a variable, a variable over the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bakery.runtime import toml
from provisioner import did_you_mean, named_file
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

CACHE = "WORKER_BAKERY_CACHE"
REFRESH = ("auto", "always", "never")


class Setting(NamedTuple):
    """`value` is "" if nothing sets it; `source` is the path of the file or the name of the variable."""

    value: str = ""
    source: str = ""

    def shown(self, default: str) -> str:
        """For --help: the default, and where it was set."""
        return f"default: {self.value}, from {self.source}" if self.value else f"default: {default}"


class Settings(NamedTuple):
    """The defaults that this user or machine has set."""

    pool: Setting = Setting()
    trust_domain: Setting = Setting()
    mirror: Setting = Setting()
    cache: Setting = Setting()
    cloud: Setting = Setting()
    refresh: Setting = Setting()
    snapshot_mirror: Setting = Setting()


NO_SETTINGS = Settings()
KEYS = tuple(name.replace("_", "-") for name in Settings._fields)
VARIABLES = {key: f"WORKER_BAKERY_{key.upper().replace('-', '_')}" for key in KEYS}


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. Raises BadInput for a file or a variable that cannot be used.

    Programs that a command starts read the cache from its variable; a cache that the file sets is
    therefore put into the environment.
    """
    found = read(os.environ if environ is None else environ)
    if found.cache.value and environ is None:
        os.environ.setdefault(CACHE, found.cache.value)
        if not os.environ[CACHE]:
            os.environ[CACHE] = found.cache.value
    return found


def read(environ: Mapping[str, str]) -> Settings:
    """The settings of the file and the variables of `environ`. Raises BadInput."""
    path = location(environ)
    return merged(parse(_text(path), str(path)) if exists(path) else {}, environ, str(path))


def exists(path: Path) -> bool:
    """A file in a folder that this user cannot search does not: it belongs to another user.

    Path.exists() raises PermissionError there.
    """
    return os.path.exists(path)  # noqa: PTH110


def location(environ: Mapping[str, str]) -> Path:
    """The path of the configuration file, which need not exist (XDG Base Directory Specification)."""
    # Path.home() raises RuntimeError for a user without a home directory.
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  # Path's raises where there is no home
    folder = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return Path(folder) / "worker-bakery" / "config.toml"


def merged(from_file: Mapping[str, str], environ: Mapping[str, str], path: str) -> Settings:
    """Variables take precedence over the file; an empty variable counts as not set. Raises BadInput."""
    found = {key: Setting(value, path) for key, value in from_file.items()}
    for key, variable in VARIABLES.items():
        if value := environ.get(variable, ""):
            # A shell expands ~ itself, and a relative path has always been taken from the current folder.
            found[key] = Setting(value if variable == CACHE else checked(key, value, variable), variable)
    return Settings(**{key.replace("-", "_"): setting for key, setting in found.items()})


def parse(text: str, path: str) -> dict[str, str]:
    """The keys and values of a configuration file; `path` is for messages. Raises BadInput."""
    import tomllib  # a third of the start-up time, and most users have no file

    try:
        table = toml.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}.") from None
    return {key: _of_file(key, value, path) for key, value in table.items()}


def _text(path: Path) -> str:
    try:
        return named_file.text(path)
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.", "Correct or remove the file.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8.", "Correct or remove the file.") from None


def _of_file(key: str, value: object, path: str) -> str:
    if re.fullmatch(r"(worker[-_])?token", key, re.IGNORECASE) or scrub(str(value)) != str(value):
        hint = "Remove it, and use gen-userdata --token-file FILE."
        raise BadInput(f"{path}: {scrub(key)} contains a token, which is not supported.", hint)
    if key not in KEYS:
        hint = did_you_mean.hint([key], KEYS, f"The keys are {', '.join(KEYS)}.")
        raise BadInput(f"{path}: there is no key {scrub(key)!r}.", hint)
    if not isinstance(value, str):
        raise BadInput(f"{path}: {key} must be a string.", f'Write {key} = "…".')
    return checked(key, value, f"{path}: {key}")


def checked(key: str, value: str, name: str) -> str:
    """The value of a key, for a cache with the home folder instead of ~; `name` is for messages.

    Raises BadInput for a value that the key cannot have. The message does not contain the value.
    """
    if scrub(value) != value:
        hint = "" if key == "mirror" else "Use --token-file FILE."
        raise BadInput(f"{name} contains a token, which is not supported.", hint)
    if problem := _CHECKS[key](value):
        raise BadInput(f"{name} {problem}.")
    return os.path.expanduser(value) if key == "cache" else value  # noqa: PTH111  # Path's raises


def _word(value: str) -> str:
    return "" if re.fullmatch(r"[!-~]{1,1000}", value) else "must be one word without blanks"


def _url(value: str) -> str:
    if not re.fullmatch(r"(https?|file)://[!-~]+", value):
        return "must be an http, https or file URL"
    return "must not contain a user name or a password" if "@" in value.split("/")[2] else ""


def _folder(value: str) -> str:
    is_absolute = value.startswith(("/", "~/")) and value.isprintable()
    return "" if is_absolute else "must be an absolute path, or begin with ~/"


def _refresh(value: str) -> str:
    return "" if value in REFRESH else f"must be one of {', '.join(REFRESH)}"


def _snapshots(value: str) -> str:
    return _url(value) or ("" if "{timestamp}" in value else "must contain {timestamp}")


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "pool": _word,
    "trust-domain": _word,
    "mirror": _url,
    "cache": _folder,
    "cloud": _word,
    "refresh": _refresh,
    "snapshot-mirror": _snapshots,
}
