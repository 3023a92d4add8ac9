"""Generate the user-data of many workers from a CSV table, one file per row.

Either all rows are valid and all files are written, or no file is written. Each file is first written to a
hidden folder beside its destination and dropped from memory, so memory use does not grow with the table.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bakery.runtime import files
from bakery.userdata import findings, keys, request
from bakery.userdata.delivery import encodings
from bakery.userdata.request import Delivery, Policy, Request
from provisioner import did_you_mean, named_file
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

_COMMON = ("file", "token_file", "token", "project", "owner", "start", "anyone", "group_name", "pool")
ENDINGS = {"script": ".sh", "cloud-config": ".yaml", "mime": ".mime", "conf": ".conf"}
MOST_SHOWN = 20
_TOKENS = ("token", "token_file", *(option.name for option in keys.TOKEN_OPTIONS))
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}")
_YES, _NO = ("yes", "true", "1"), ("", "no", "false", "0")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One run; `common` has the values for the fields that a row leaves empty.

    `table` is the CSV file and `folder` the folder of the output; `read_token` returns the token of a file.
    """

    table: Path
    folder: Path
    common: Request
    delivery: Delivery
    policy: Policy
    read_token: Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Result:
    """`written` counts the files; `warnings` maps the name of a finding to the number of rows with it."""

    written: int
    warnings: Mapping[str, int]


def run(batch: Batch) -> Result:
    """Write one file for each row of the table.

    Raises BadInput, which lists the invalid rows, if no file was written.
    """
    with _staging(batch.folder) as staging:
        done = _stage(batch, staging)
        _publish(staging, batch.folder)
    return done


def _stage(batch: Batch, staging: Path) -> Result:
    invalid: list[str] = []
    omitted, written, warnings = 0, 0, dict[str, int]()
    for number, row in _rows(batch.table, columns(batch.common.kind)):
        try:
            for name in _write_row(batch, row, staging):
                warnings[name] = warnings.get(name, 0) + 1
            written += 1
        except BadInput as problem:
            omitted += len(invalid) >= MOST_SHOWN
            if len(invalid) < MOST_SHOWN:
                invalid.append(f"row {number}: {scrub(str(problem)).strip()}")
    if invalid:
        invalid += [f"… and {omitted} more"] * bool(omitted)
        raise BadInput(f"{batch.table} has invalid rows; no file was written:\n" + "\n".join(invalid))
    if not written:
        raise BadInput(
            f"{batch.table} has no rows.", "Add one row for each worker below the names of the columns."
        )
    return Result(written=written, warnings=warnings)


def _write_row(batch: Batch, row: Mapping[str, str], staging: Path) -> list[str]:
    """Write the file of one row. Return the names of its warnings."""
    worker = _request(batch, row)
    name = _file_name(batch, row, worker)
    target = staging / name
    if target.exists():
        raise BadInput(
            f"An earlier row also writes the file {name}.", "Set different names in the column file."
        )
    user_data = request.generate(worker, batch.delivery, batch.policy)
    if errors := findings.errors(user_data.findings):
        raise findings.refusal(errors)
    files.write_new(target, encodings.encoded(user_data.payload, batch.delivery.encoding))
    return [one.id for one in user_data.findings]


def _request(batch: Batch, row: Mapping[str, str]) -> Request:
    common = _without_token(batch.common) if any(row[name] for name in _TOKENS) else batch.common
    token = row["token"] or (batch.read_token(row["token_file"]) if row["token_file"] else common.token)
    settings = {**common.settings, **keys.from_row(row, common.kind)}
    if not token and not settings.keys() & set(keys.TOKEN_SOURCES):
        raise BadInput("The row has no token.", "Add a column token_file, or use --token-file FILE.")
    return replace(
        common,
        token=token,
        settings=settings,
        projects=tuple(row["project"].split()) or common.projects,
        owners=tuple(row["owner"].split()) or common.owners,
        conditions=(row["start"],) if row["start"] else common.conditions,
        anyone=_flag(row["anyone"]) or common.anyone,
        group_name=row["group_name"] or common.group_name,
        pool=row["pool"] or common.pool,
    )


def _without_token(common: Request) -> Request:
    """Return `common` without its token, for a row that has a token of its own."""
    left = {key: value for key, value in common.settings.items() if key not in keys.TOKEN_SOURCES}
    return replace(common, token="", settings=left)


def _file_name(batch: Batch, row: Mapping[str, str], worker: Request) -> str:
    ending = ENDINGS[batch.delivery.form] + (".gz" if batch.delivery.encoding.gzip else "")
    if row["file"]:
        if not _NAME.fullmatch(row["file"]):
            raise BadInput(
                f"{row['file']!r} is not a valid file name.", "Use letters, digits and . _ + - only."
            )
        return row["file"]
    plain = re.sub(r"[^A-Za-z0-9_+-]+", "-", worker.group_name or "").strip("-+")[:150]
    if not plain:
        raise BadInput("The row has no file name.", "Fill in the column group_name or file.")
    return plain + ending + (".b64" if batch.delivery.encoding.base64 else "")


def columns(kind: str = "osg") -> tuple[str, ...]:
    """Return the names of the columns that a table may have."""
    return (*_COMMON, *(option.name for option in keys.options(kind)), *keys.settable(kind))


def _rows(table: Path, known: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with its line number; a column that the table lacks is empty."""
    try:
        with io.TextIOWrapper(named_file.opened(table), encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(table, reader.fieldnames or (), known)
            for row in reader:
                if None in row or None in row.values():
                    raise BadInput(
                        f"{table}, line {reader.line_num}: the number of fields differs from the number of"
                        " columns."
                    )
                yield reader.line_num, {name: (row.get(name) or "").strip(" ") for name in known}
    except OSError as problem:
        raise BadInput(f"Cannot read {table}: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{table} is not UTF-8.", "Save it as CSV in UTF-8.") from None
    except csv.Error as problem:
        raise BadInput(f"{table} is not valid CSV: {problem}.") from None


def _check_columns(table: Path, names: object, known: Sequence[str]) -> None:
    given = list(names) if isinstance(names, list | tuple) else []
    unknown = [str(name) for name in given if name not in known]
    if unknown or not given or len(set(given)) < len(given):
        listed = ", ".join(map(scrub, unknown))
        what = f"has unknown columns: {listed}" if unknown else "must name each column once"
        hint = did_you_mean.hint(unknown, known, f"The columns are {', '.join(known)}.")
        raise BadInput(f"{table}: the first line {what}.", hint)


def _flag(text: str) -> bool:
    if text.casefold() not in (*_YES, *_NO):
        raise BadInput(f"The column anyone must be yes or no, not {text!r}.")
    return text.casefold() in _YES


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Make a hidden folder on the same file system, and always remove it at the end."""
    files.make_private_folder(folder)
    staging = Path(tempfile.mkdtemp(prefix=".worker-bakery-", dir=folder))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, folder: Path) -> None:
    for path in staging.iterdir():
        files.refuse_special(folder / path.name)
    for path in staging.iterdir():
        path.replace(folder / path.name)
