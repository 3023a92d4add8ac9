"""Explain why a file does not have the structure of the model. msgspec decides whether it has."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import inspect

from bakery.definition.mistakes.positions import Path
from bakery.definition.mistakes.problems import Wrong, listed, name, unknown

_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
    datetime.date: "a date",
    datetime.time: "a time",
    datetime.datetime: "a date",
}
_EXPECTED: Mapping[type[inspect.Type], tuple[type, ...]] = {
    inspect.StrType: (str,),
    inspect.BoolType: (bool,),
    inspect.IntType: (int,),
    inspect.FloatType: (float, int),
    inspect.VarTupleType: (list,),
    inspect.DictType: (dict,),
    inspect.StructType: (dict,),
}


def mistakes(model: type, value: object) -> Iterator[Wrong]:
    """All mistakes of structure, in the order of the file."""
    yield from _mistakes(inspect.type_info(model), value, (), "")


def _mistakes(wanted: inspect.Type, value: object, place: Path, form: str) -> Iterator[Wrong]:
    if isinstance(wanted, inspect.Metadata):
        form = (wanted.extra or {}).get("form", form)
        yield from _mistakes(wanted.type, value, place, form)
    elif isinstance(wanted, inspect.UnionType):
        fitting = [one for one in wanted.types if _fits(one, value)]
        yield from (
            _mistakes(fitting[0], value, place, form) if fitting else [_not(place, wanted, form, value)]
        )
    elif isinstance(wanted, inspect.LiteralType):
        if value not in wanted.values:
            yield _no_choice(place, [str(one) for one in wanted.values], value)
    elif not _fits(wanted, value):
        yield _not(place, wanted, form, value)
    elif isinstance(wanted, inspect.StructType) and isinstance(value, dict):
        yield from _of_struct(wanted, value, place)
    elif isinstance(wanted, inspect.DictType) and isinstance(value, dict):
        for key, one in value.items():
            yield from _mistakes(wanted.value_type, one, (*place, key), "")
    elif isinstance(wanted, inspect.VarTupleType) and isinstance(value, list):
        for number, one in enumerate(value):
            yield from _mistakes(wanted.item_type, one, (*place, number), "")
    elif not _is_in_form(wanted, value):
        yield _not(place, wanted, form, value)


def _fits(wanted: inspect.Type, value: object) -> bool:
    """Whether the value has the type, whatever is in it."""
    if isinstance(wanted, inspect.Metadata):
        return _fits(wanted.type, value)
    if isinstance(value, bool):
        return isinstance(wanted, inspect.BoolType | inspect.AnyType)
    return isinstance(wanted, inspect.AnyType) or isinstance(value, _EXPECTED.get(type(wanted), ()))


def _is_in_form(wanted: inspect.Type, value: object) -> bool:
    if isinstance(wanted, inspect.StrType) and isinstance(value, str):
        return wanted.pattern is None or re.search(wanted.pattern, value) is not None
    if isinstance(wanted, inspect.IntType) and isinstance(value, int):
        return (wanted.ge is None or value >= wanted.ge) and (wanted.le is None or value <= wanted.le)
    return True


def _of_struct(wanted: inspect.StructType, value: Mapping[str, Any], place: Path) -> Iterator[Wrong]:
    fields = {field.encode_name: field for field in wanted.fields}
    for key, one in value.items():
        if key in fields:
            yield from _mistakes(fields[key].type, one, (*place, key), "")
        else:
            yield unknown((*place, key), f"there is no key {name((*place, key))}.", fields)
    for key in (key for key, field in fields.items() if field.required and key not in value):
        text = _description(fields[key].type)
        yield Wrong(place, f"{name(place)} has no {key}.", f"{key}: {text[:1].lower()}{text[1:]}")


def _description(wanted: inspect.Type) -> str:
    found = wanted.extra_json_schema if isinstance(wanted, inspect.Metadata) else None
    return str((found or {}).get("description", ""))


def _not(place: Path, wanted: inspect.Type, form: str, value: object) -> Wrong:
    """`KEY must be …, not …`, with a hint for a value that only lacks its quotes or brackets."""
    message = f"{name(place)} must be {form or _expected(wanted)}"
    if _fits(wanted, value):
        return Wrong(place, f"{message}.")
    return Wrong(place, f"{message}, not {_kind(value)}.", _as_written(place, wanted, value))


def _as_written(place: Path, wanted: inspect.Type, value: object) -> str:
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    if isinstance(wanted, inspect.StrType):
        return _quoted(place, key, wanted, value)
    if isinstance(wanted, inspect.StructType) and len(place) == 2 and place[0] == "roles":
        return f"Write [{name(place)}]."
    if isinstance(wanted, inspect.VarTupleType) and isinstance(value, str):
        return f'Write {key} = ["{value}"].'
    if isinstance(wanted, inspect.VarTupleType) and isinstance(value, dict):
        return f"Write [[{key}]] instead of [{key}]."
    return ""


def _quoted(place: Path, key: str, wanted: inspect.StrType, value: object) -> str:
    """A hint to quote a number or a date, if that is a right value then. A mode must be quoted as octal."""
    if type(value) not in (int, float, datetime.date) or not _is_in_form(wanted, str(value)):
        return ""
    if key == "mode":
        return "Write the octal digits in quotes."
    return f'Quote it: {key} = "{value}".' if place[-1] == key else f'Quote it: "{value}".'


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "this value")


def _expected(wanted: inspect.Type) -> str:
    if isinstance(wanted, inspect.UnionType):
        return listed(_expected(one) for one in wanted.types)
    if isinstance(wanted, inspect.Metadata):
        return str((wanted.extra or {}).get("form", "")) or _expected(wanted.type)
    return _KINDS[_EXPECTED[type(wanted)][0]]


def _no_choice(place: Path, choices: list[str], value: object) -> Wrong:
    from provisioner import did_you_mean

    meant = did_you_mean.did_you_mean(value, choices) if isinstance(value, str) else ""
    return Wrong(place, f"{name(place)} must be {listed(sorted(choices))}.", meant)
