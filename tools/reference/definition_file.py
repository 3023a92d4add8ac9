"""The keys of a definition file, from bakery/definition/model.py."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import inspect

from bakery.definition import model
from tools.reference.markdown import Outdated, code, page, table

_HEADER = ("key", "value", "default", "meaning")
# Each table of the file with its struct, in the order of the page.
TABLES: dict[str, type[msgspec.Struct]] = {
    "image": model.Image,
    "base": model.LocalBase,
    "roles": model.Roles,
    "cvmfs": model.Cvmfs,
    "ospool": model.Ospool,
    "repositories": model.Repository,
    "files": model.SiteFile,
    "users": model.User,
    "services": model.Services,
    "commands": model.Command,
    "matrix": model.Matrix,
}
_NAMES = {
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
}


def pages() -> dict[str, str]:
    """Raises Outdated for a table of the model that the page does not have."""
    # Definition is Image with [[image]]; the others are roles without options.
    known = {*TABLES.values(), model.Definition, model.Nvidia, model.Apptainer, model.Udocker, model.Table}
    found = {one for one in vars(model).values() if isinstance(one, type) and issubclass(one, model.Table)}
    if missing := sorted(one.__name__ for one in found - known):
        raise Outdated(f"definition file: the page has no table for {', '.join(missing)}.")
    return {
        "definition-file.md": page("definition-file", **{name: _table(one) for name, one in TABLES.items()})
    }


def _table(struct: type[msgspec.Struct]) -> str:
    return table(_HEADER, _rows(struct))


def _rows(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, str]]:
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)
    for field in found.fields:
        yield code(field.encode_name), _value(field.type), _default(field), _meaning(field.type)


def _meaning(wanted: inspect.Type) -> str:
    """The description. Names of keys and variables in it are code."""
    if not isinstance(wanted, inspect.Metadata):
        return ""
    text = str((wanted.extra_json_schema or {}).get("description", ""))
    return text.replace("$NAME and ${NAME}", "`$NAME` and `${NAME}`").replace("$$", "`$$`")


def _value(wanted: inspect.Type) -> str:
    match wanted:
        case inspect.Metadata(type=inner):
            return _value(inner)
        case inspect.LiteralType(values=values):
            return ", ".join(code(str(value)) for value in values)
        case inspect.VarTupleType(item_type=inner):
            return "array of tables" if _value(inner) == "table" else f"list of {_value(inner)}"
        case inspect.UnionType(types=types):
            return ", ".join(dict.fromkeys(_value(one) for one in types))
        case inspect.DictType() | inspect.StructType():
            return "table"
    return _NAMES[type(wanted)]


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    default = field.default
    if isinstance(default, bool):
        return code(str(default).lower())
    return code(str(default)) if isinstance(default, str | int) and default else ""
