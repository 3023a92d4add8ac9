"""Whatever valid TOML a file contains: it is read, or there is one error that names the file."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import event, given
from hypothesis import strategies as st

from bakery.definition import model, reading
from provisioner.errors import BadInput

WORDS = [
    *("", "a", "A b", "debian13", "rocky9", "osg", "prominence", "x86_64", "oci", "qcow2", "boot", "clone"),
    *("/etc/a", "/", "../a", "0644", "root:root", "20G", "http://x.example/y", "./", "final", "site.toml"),
    *("chrony", "a=1", "net.ipv4.ip_forward", "${x}", "a\nb", "é", "\x7f", "1" * 64, "el9", "#!/bin/sh"),
]
KEYS = sorted(
    {
        field.encode_name
        for table in vars(model).values()
        if isinstance(table, type) and issubclass(table, msgspec.Struct)
        for field in msgspec.structs.fields(table)
    }
)
SCALARS = st.one_of(
    st.sampled_from(WORDS), st.integers(-2, 99999), st.booleans(), st.floats(allow_nan=False)
)
NAMES = st.sampled_from([*KEYS, "x", "net.ipv4", "CentralManager", "IdleTimeout", "START", "a b", ""])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def valid(wanted: Any) -> st.SearchStrategy[Any]:
    """Values of a type of the model, mostly."""
    match wanted:
        case msgspec.inspect.Metadata(type=inner):
            return valid(inner)
        case msgspec.inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.IntType():
            return st.sampled_from([1, 1000, 60000])
        case msgspec.inspect.VarTupleType(item_type=inner):
            return st.lists(valid(inner), max_size=2)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(valid, types))
        case msgspec.inspect.DictType(value_type=inner):
            return st.dictionaries(NAMES, valid(inner), max_size=2)
        case msgspec.inspect.StructType(fields=fields):
            required = {one.encode_name: valid(one.type) for one in fields if one.required}
            optional = {one.encode_name: valid(one.type) for one in fields if not one.required}
            return st.fixed_dictionaries(required, optional=optional).map(_some)
    return st.sampled_from(WORDS)


def _some(table: dict[str, Any]) -> dict[str, Any]:
    """At most five keys: with all of them there is always one mistake."""
    return dict(sorted(table.items(), key=repr)[:5])


DOCUMENTS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5) | valid(
    msgspec.inspect.type_info(model.Definition)
)


def toml(value: Any) -> str:
    """As an inline value."""
    match value:
        case dict():
            return f"{{{', '.join(f'{_string(key)} = {toml(one)}' for key, one in value.items())}}}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case str():
            return _string(value)
        case bool():
            return str(value).lower()
        case float() if value in (float("inf"), float("-inf")):
            return str(value)
    return repr(value)


def _string(text: str) -> str:
    return json.dumps(text).replace("\x7f", "\\u007f")


def lines(document: dict[str, Any]) -> Iterator[str]:
    return (f"{_string(key)} = {toml(value)}\n" for key, value in document.items())


@given(DOCUMENTS)
def test_a_document_is_read_or_refused(document: dict[str, Any]) -> None:
    text = "".join(lines(document))
    assert tomllib.loads(text) == document
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "site.toml"
        path.write_text(text)
        try:
            found = reading.read([path])
        except BadInput as error:
            event("refused")
            assert error.message.startswith(f"{path}")
            assert document == {} or "site.toml:" in error.message or "image" in error.message, (
                error.message
            )
        else:
            event("read")
            assert found
