"""Read and write the result file of `worker-bakery bases --prove`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bakery.base_proofs import record as records
from bakery.base_proofs.record import Record, Records
from bakery.runtime import data
from provisioner import named_file
from provisioner.errors import BadInput

DEFAULT = data.PACKER / "proofs.json"


def read(path: Path = DEFAULT) -> Records:
    """Return the records by name of the base; none if the file does not exist. Raises BadInput."""
    try:
        table = json.loads(named_file.text(path))
        if table["format"] != records.FORMAT:
            raise ValueError(f"its format is {table['format']!r}, not {records.FORMAT}")
        return {name: records.from_json(one) for name, one in table["bases"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} is not a result file of `worker-bakery bases --prove`: {error}.",
            "Name another file with --result, or remove this one.",
        ) from None


def merge(path: Path, name: str, new: Record) -> Record:
    """Merge the record of an attempt into the file, and return the merged one. Raises BadInput.

    The file is replaced by a rename, so that a killed process leaves the earlier one.
    """
    known = dict(read(path))
    known[name] = records.merged(known.get(name, Record()), new)
    _write(path, known)
    return known[name]


def _write(path: Path, known: Records) -> None:
    bases = {name: records.to_json(known[name]) for name in sorted(known)}
    text = json.dumps({"format": records.FORMAT, "bases": bases}, indent=1, ensure_ascii=False) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".proofs-", delete=False) as out:
        out.write(text)
    written = Path(out.name)
    written.chmod(0o644)
    written.rename(path)
