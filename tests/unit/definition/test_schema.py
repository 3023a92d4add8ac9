"""The JSON schema: it is that of the model, and accepts and refuses what the reader does."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec
import pytest
import regress

from bakery.definition import model, schema
from tests.unit.definition.test_bad_definitions import MISTAKES

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "site").glob("*.toml"))
SCHEMA: dict[str, Any] = json.loads(schema.FILE.read_text("utf-8"))


def test_the_shipped_schema_is_that_of_the_model() -> None:
    assert schema.FILE.read_text("utf-8") == schema.text(), "run python -m bakery.definition.schema"


@pytest.fixture(scope="module")
def jsonschema() -> ModuleType:
    """Imported when it is used: that takes a second, and each lane of tests imports this module."""
    import jsonschema

    return cast(ModuleType, jsonschema)


def test_it_is_a_json_schema(jsonschema: ModuleType) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path, jsonschema: ModuleType) -> None:
    jsonschema.validate(tomllib.loads(path.read_text()), SCHEMA)


def test_it_refuses_what_msgspec_refuses(jsonschema: ModuleType) -> None:
    refused = 0
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for text in MISTAKES:
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
        try:
            msgspec.convert(document, model.Definition)
        except msgspec.ValidationError:
            refused += 1
            assert not validator.is_valid(document), text
        else:
            assert validator.is_valid(document), text
    assert refused > 40


def patterns(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (value for key, value in schema.items() if key == "pattern" and isinstance(value, str))
        yield from (found for value in schema.values() for found in patterns(value))
    elif isinstance(schema, list):
        yield from (found for value in schema for found in patterns(value))


def test_patterns_are_valid_for_ecmascript() -> None:
    """With the flag u, as validators compile them; it has fewer escapes than Python."""
    found = set(patterns(SCHEMA))
    assert len(found) > 15
    for pattern in found:
        regress.Regex(pattern, "u")
    with pytest.raises(regress.RegressError):
        regress.Regex(r"\"", "u")


def test_every_key_has_a_description() -> None:
    tables = SCHEMA["$defs"].values()
    assert len(tables) == 15
    for table in tables:
        assert table["description"]
        for key, field in table["properties"].items():
            assert field.get("description"), f"{table['title']}: {key}"
