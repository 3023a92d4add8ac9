"""The JSON schema of a definition file, generated from the model and shipped as a file."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).parent / "definition.schema.json"


def text() -> str:
    """The schema made from the model, as the content of FILE."""
    import json

    import msgspec

    from bakery.definition.model import Definition

    made = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Definition file of worker-bakery",
        **msgspec.json.schema(Definition),
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
