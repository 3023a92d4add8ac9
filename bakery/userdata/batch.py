"""Many workers at once: one row of a CSV file, one user-data; all rows are right, or none is written.

Each row is made and written to a hidden folder beside its place, and forgotten; so memory stays flat.
Only when all are there and right do they get their names.
"""

from __future__ import annotations

import csv
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
from bakery.userdata.request import Policy, Request, Shape
from provisioner import did_you_mean
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
    """What all rows share; `common` is what the command line says where a row is silent."""

    table: Path
    folder: Path
    common: Request
    shape: Shape
    policy: Policy
    read_token: Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Done:
    written: int
    warnings: Mapping[str, int]


def run(batch: Batch) -> Done:
    """Raises BadInput that names the wrong rows, having written nothing."""
    with _staging(batch.folder) as staging:
        done = _stage(batch, staging)
        _publish(staging, batch.folder)
    return done


def _stage(batch: Batch, staging: Path) -> Done:
    wrong: list[str] = []
    more, written, warnings = 0, 0, dict[str, int]()
    for number, row in _rows(batch.table, columns(batch.common.kind)):
        try:
            for name in _write_row(batch, row, staging):
                warnings[name] = warnings.get(name, 0) + 1
            written += 1
        except BadInput as problem:
            more += len(wrong) >= MOST_SHOWN
            if len(wrong) < MOST_SHOWN:
                wrong.append(f"row {number}: {scrub(str(problem)).strip()}")
    if wrong:
        wrong += [f"… and {more} more"] * bool(more)
        raise BadInput(f"Nothing was written, because {batch.table} is not right:\n" + "\n".join(wrong))
    if not written:
        raise BadInput(f"{batch.table} has no rows.", "Its first line names the columns.")
    return Done(written=written, warnings=warnings)


def _write_row(batch: Batch, row: Mapping[str, str], staging: Path) -> list[str]:
    """The names of the row's warnings."""
    wanted = _request(batch, row)
    name = _file_name(batch, row, wanted)
    target = staging / name
    if target.exists():
        raise BadInput(f"Two rows want the file {name}.", "Give them different names in a column file.")
    made = request.made(wanted, batch.shape, batch.policy)
    if errors := findings.errors(made.findings):
        raise findings.refusal(errors)
    files.write_new(target, encodings.dressed(made.payload, batch.shape.encoding))
    return [one.id for one in made.findings]


def _request(batch: Batch, row: Mapping[str, str]) -> Request:
    common = _without_token(batch.common) if any(row[name] for name in _TOKENS) else batch.common
    token = row["token"] or (batch.read_token(row["token_file"]) if row["token_file"] else common.token)
    settings = {**common.settings, **keys.of_row(row, common.kind)}
    if not token and not settings.keys() & set(keys.TOKEN_SOURCES):
        raise BadInput("There is no token.", "Add a column token_file, or give --token-file.")
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
    """Of a row that says itself where the token comes from."""
    left = {key: value for key, value in common.settings.items() if key not in keys.TOKEN_SOURCES}
    return replace(common, token="", settings=left)


def _file_name(batch: Batch, row: Mapping[str, str], wanted: Request) -> str:
    ending = ENDINGS[batch.shape.form] + (".gz" if batch.shape.encoding.gzip else "")
    if row["file"]:
        if not _NAME.fullmatch(row["file"]):
            raise BadInput(
                f"{row['file']!r} is no plain name of a file.", "Use letters, digits and . _ + -."
            )
        return row["file"]
    plain = re.sub(r"[^A-Za-z0-9_+-]+", "-", wanted.group_name or "").strip("-+")[:150]
    if not plain:
        raise BadInput("The row has no name for its file.", "Fill the column group_name, or file.")
    return plain + ending + (".b64" if batch.shape.encoding.base64 else "")


def columns(kind: str = "osg") -> tuple[str, ...]:
    """Those that the table may have."""
    return (*_COMMON, *(option.name for option in keys.options(kind)), *keys.settable(kind))


def _rows(table: Path, known: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the number of its line; columns that are not there are empty."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(table, reader.fieldnames or (), known)
            for row in reader:
                if None in row or None in row.values():
                    raise BadInput(f"{table}, line {reader.line_num}: the number of fields is wrong.")
                yield reader.line_num, {name: (row.get(name) or "").strip(" ") for name in known}
    except OSError as problem:
        raise BadInput(f"Cannot read {table}: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{table} is not UTF-8.", "Save it as CSV, UTF-8.") from None
    except csv.Error as problem:
        raise BadInput(f"{table} is no CSV: {problem}.") from None


def _check_columns(table: Path, names: object, known: Sequence[str]) -> None:
    given = list(names) if isinstance(names, list | tuple) else []
    unknown = [str(name) for name in given if name not in known]
    if unknown or not given or len(set(given)) < len(given):
        what = f"does not know {', '.join(map(scrub, unknown))}" if unknown else "needs each column once"
        hint = did_you_mean.hint(unknown, known, f"The columns are {', '.join(known)}.")
        raise BadInput(f"{table}: the first line {what}.", hint)


def _flag(text: str) -> bool:
    if text.casefold() not in (*_YES, *_NO):
        raise BadInput(f"anyone is yes or no, not {text!r}.")
    return text.casefold() in _YES


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A hidden folder on the same file system, gone at the end whatever happens."""
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
