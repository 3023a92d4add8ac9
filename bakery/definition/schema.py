"""The JSON schema of a definition file, generated from the model and shipped as a file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "definition.schema.json"


def text() -> str:
    """The schema made from the model, as the content of FILE."""
    import json

    import msgspec

    from bakery.definition.model import Definition

    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Definition file of worker-bakery",
        **_cleaned(msgspec.json.schema(Definition)),
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _cleaned(value: Any) -> Any:
    """Without the indentation of docstrings, which msgspec before 0.23 keeps."""
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(found)
            if key == "description" and isinstance(found, str)
            else _cleaned(found)
            for key, found in value.items()
        }
    return [_cleaned(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
