"""What a site presets on its page: a TOML file -> the values that the page begins with.

title = "Workers for the campus pool"
pool = "cm.example.edu"
trust-domain = "cm.example.edu"
image = "campus-worker"
cloud = "horizon"
hide = ["pool", "worker"]
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bakery.page.fields import LABELS
from bakery.page.places import PLACES
from bakery.runtime import toml
from bakery.userdata import characters, guest, pools, rendering
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

_LIMIT = 64 * 1024
_LONGEST = 200  # characters
# A researcher must see these.
_ALWAYS = ("token", "projects", "owners", "expression", "anyone")
# PROMINENCE requires them, and a preset cannot give their values.
_OF_PROMINENCE = ("prominence_cloud", "region", "node_group")
HIDEABLE = tuple(name for name in LABELS if name not in _ALWAYS)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """`pool` is a built-in pool's name or HOST[:PORT][,HOST…], `cloud` one of PLACES, `hide` fields."""

    title: str = ""
    pool: str = ""
    trust_domain: str = ""
    image: str = ""
    group_name: str = ""
    worker: str = ""
    cloud: str = ""
    hide: tuple[str, ...] = ()


def read(path: Path) -> Preset:
    """Raises BadInput for a file that cannot be read, an unknown key or an invalid value."""
    from bakery.runtime.files import read_limited

    try:
        table = toml.loads(read_limited(path, _LIMIT).decode("utf-8-sig"))
    except ValueError as problem:  # a TOMLDecodeError and a UnicodeDecodeError are ValueErrors
        raise BadInput(f"{path} is not valid TOML: {problem}.", "Correct the file.") from None
    plain = {_plain(key): value for key, value in table.items()}
    if len(plain) < len(table):
        raise BadInput(f"{path}: a key is there twice, with - and with _.", "Keep one of them.")
    return _completable(path, _preset(path, plain))


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _completable(path: Path, preset: Preset) -> Preset:
    """Raise BadInput if people must fill in a field that they cannot see."""
    prominence = preset.worker == "prominence"
    required = [name for name in _OF_PROMINENCE if name in preset.hide] if prominence else []
    if required:
        names = ", ".join(required)
        raise BadInput(
            f"{path}: hide has {names}, which a PROMINENCE worker requires.", "Show these fields."
        )
    if prominence and "pool" in preset.hide and not preset.pool:
        raise BadInput(f"{path}: hide has pool, but there is no pool.", 'Set it: pool = "HOST".')
    return preset


def _preset(path: Path, table: Mapping[str, Any]) -> Preset:
    known = tuple(Preset.__dataclass_fields__)
    for name, value in table.items():
        if name not in known:
            hint = did_you_mean.hint([name], known, f"The keys are {', '.join(known).replace('_', '-')}.")
            raise BadInput(f"{path}: there is no key {scrub(name)!r}.", hint)
        problem = _of_hide(value) if name == "hide" else _of_text(name, value)
        if problem:
            raise BadInput(f"{path}: {name.replace('_', '-')} {problem}.")
    return Preset(**{**table, "hide": tuple(map(_plain, table.get("hide", ())))})


def _of_hide(value: object) -> str:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return "is not a list of strings"
    wrong = [one for one in value if _plain(one) not in HIDEABLE]
    return f"has {scrub(str(wrong[0]))!r}; these can be hidden: {', '.join(HIDEABLE)}" if wrong else ""


def _of_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        return "is not a string"
    if scrub(value) != value:
        return "contains a token, which everybody could read"
    if unseen := _unseen(value):
        return f"is not one line of text that can be seen: it has {characters.name(unseen[0])}"
    if len(value) > _LONGEST:
        return f"is not one line of at most {_LONGEST} characters"
    return _CHECKS[name](value) if value and name in _CHECKS else ""


def _unseen(value: str) -> list[str]:
    """Control and format characters, which would not be seen; blanks may be those of typography."""
    return [one for one in value if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]


def _one_of(names: tuple[str, ...]) -> Callable[[str], str]:
    return lambda value: "" if value in names else f"is none of {', '.join(names)}"


def _of_pool(value: str) -> str:
    """The page has the built-in pools only: a pool of pools.toml must be given by its hosts."""
    found = pools.find(value)
    if found and found not in pools.built_in():
        return f"is a pool of pools.toml, which the page does not have; use {found.central_manager}"
    return "" if found else guest.problem_with("hosts", value) or ""


_CHECKS: Mapping[str, Callable[[str], str]] = {
    "pool": _of_pool,
    "trust_domain": lambda value: guest.problem_with("domain", value) or "",
    "worker": _one_of(rendering.KINDS),
    "cloud": _one_of(tuple(PLACES)),
}


def as_data(preset: Preset) -> dict[str, Any]:
    """Return the preset as an object for JSON."""
    return asdict(preset)
