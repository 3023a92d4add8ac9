"""Settings as text: [worker-defaults], [condor], [sysctl]."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bakery.definition.mistakes.positions import Path
from bakery.definition.mistakes.problems import Wrong, name, unknown
from provisioner.errors import BadInput

# worker_runtime/configuration/settings.py: SECRET; the guest refuses them as defaults.
_SECRET = ("Token", "TokenFile", "TokenCommand", "ServerCredential", "ServerCredentialCommand")
_SYSCTL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_*-]*(?:[./][A-Za-z0-9_*-]+)+")

Pairs = tuple[tuple[str, str], ...]


def worker(values: Mapping[str, str | int | bool], kind: str) -> Pairs:
    """The defaults of the worker's file, with the keys of this kind of worker. Raises Wrong."""
    if not values:
        return ()
    from bakery.userdata import rendering

    known = {name: key for key in rendering.worker_keys(kind) for name in (key.key, key.setting)}
    found: dict[str, str] = {}
    for setting, value in values.items():
        place = ("worker-defaults", setting)
        if setting not in known:
            settings = [key.setting for key in known.values() if key.setting not in _SECRET]
            raise unknown(place, f"{name(place)}: a worker of the kind {kind} has no such key.", settings)
        key, text = known[setting], _yes_or_no(value)
        if key.setting in _SECRET:
            hint = "Pass the token to the worker in its user-data."
            raise Wrong(place, f"{name(place)} cannot be a default of an image.", hint)
        if key.key in found:
            raise Wrong(place, f"{name(place)}: {key.key} is set twice.", "Remove one of them.")
        try:
            rendering.check_value(key, text)
        except BadInput as error:
            raise Wrong(place, f"{name(place)}: {error.message}", error.hint) from None
        found[key.key] = text
    return tuple(found.items())


def _yes_or_no(value: str | float | bool) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def condor(values: Mapping[str, str | float | bool]) -> Pairs:
    """Lines of HTCondor configuration."""
    return tuple((setting, str(value)) for setting, value in values.items())


def sysctl(values: Mapping[str, Any]) -> Pairs:
    """Kernel parameters by their names with dots. Raises Wrong."""
    found: dict[str, str] = {}
    for place, value in _parameters(values, ("sysctl",)):
        parameter = ".".join(map(str, place[1:]))
        if not _SYSCTL_NAME.fullmatch(parameter):
            hint = "Write the name as sysctl(8) prints it: net.ipv4.ip_forward = 0."
            raise Wrong(place, f"{parameter} is not the name of a kernel parameter.", hint)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Wrong(place, f"{name(place)} must be a string or an integer.", "Write 1 or 0.")
        if parameter in found:
            raise Wrong(place, f"{parameter} is set twice.", "Remove one of them.")
        found[parameter] = str(value)
    return tuple(found.items())


def _parameters(values: Mapping[str, Any], place: Path) -> Iterator[tuple[Path, Any]]:
    """TOML reads net.ipv4.ip_forward without quotes as tables in tables."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _parameters(value, (*place, key))
        else:
            yield (*place, key), value
