"""Reads the variables of a container that stand for keys of the worker's file. Pure.

Each key has one variable (Key.variable). An empty variable counts as not set. A variable overrides its key
in the file, and of a key and those that can replace it, it overrides all.
"""

import difflib
import os
from typing import Dict, List, Mapping, Sequence, Tuple

from worker_runtime.configuration.kind import Key
from worker_runtime.configuration.worker_file import NAME, Given

# How alike (difflib's ratio) a variable must be to one of ours: with our prefix, and with another one.
_ALIKE_REST, _ALIKE = 0.6, 0.88


def read(environment: Mapping[str, str], keys: Sequence[Key]) -> Given:
    """The values of the variables, by the names of keys."""
    values = {key.name: environment[key.variable] for key in keys if key.variable in environment}
    quoted = [
        "%s begins and ends with a quotation mark; docker's --env-file takes no quotes" % key.variable
        for key in sorted(keys)
        if _is_quoted(values.get(key.name, ""))
    ]
    return Given(values, tuple(quoted), unknown(environment, keys))


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"


def unknown(environment: Mapping[str, str], keys: Sequence[Key]) -> Tuple[str, ...]:
    """A warning about each variable that looks like ours and is not."""
    names = [key.variable for key in keys]
    prefix = os.path.commonprefix(names)
    found = []
    for name in sorted(set(environment).difference(names)):
        meant = _meant(name.upper(), prefix, names)
        if meant or name.startswith(prefix):
            shown = name if NAME.match(name) else "a variable with an invalid name"
            hint = "; did you mean %s?" % meant if meant else ""
            found.append("unknown variable, ignored: " + shown + hint)
    return tuple(found)


def _meant(name: str, prefix: str, names: Sequence[str]) -> str:
    """The variable that is meant; "" if none is. Of names with our prefix, the rest counts."""
    cut = len(prefix) if name.startswith(prefix) else 0
    rests = {each[cut:]: each for each in names}
    alike = difflib.get_close_matches(name[cut:], list(rests), 1, _ALIKE_REST if cut else _ALIKE)
    return rests[alike[0]] if alike else ""


def combine(file: Given, variables: Given, keys: Sequence[Key]) -> Given:
    """The values of both, with a warning about each key of the file that a variable overrides."""
    variable = {_group(key): key.variable for key in keys if variables.values.get(key.name)}
    overridden = [key for key in keys if key.name in file.values and _group(key) in variable]
    values: Dict[str, str] = dict(variables.values)
    names = [key.name for key in overridden]
    values.update((name, value) for name, value in file.values.items() if name not in names)
    text = "the variable %s overrides %s"
    warnings = tuple(text % (variable[_group(key)], key.name) for key in overridden)
    problems = file.problems + variables.problems
    return Given(values, problems, file.warnings + variables.warnings + warnings)


def _group(key: Key) -> str:
    """A key and those that can replace it have the same group."""
    return key.instead_of or key.name


def spelled(keys: Sequence[Key], given: Given, has_file: bool) -> List[Key]:
    """The keys as the user knows them: by the variable, if it is set or there is no file."""

    def name(key: Key) -> str:
        return key.variable if given.values.get(key.name) or not has_file else key.name

    names = {key.name: name(key) for key in keys}
    return [key._replace(name=names[key.name], instead_of=names.get(key.instead_of, "")) for key in keys]
