"""The severity of what `--check` finds follows the effect; a worker's own cloud-init and shells are judges.

Each shape of user-data is processed by cloud-init's own code in a worker's root, its scripts run, and what
then lies on the disk is compared with what the user-data says. An error has to be right; so has silence.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakery.userdata import guest, request
from bakery.userdata.delivery import multipart
from bakery.userdata.findings import Finding
from bakery.userdata.lint import names, wrapping
from bakery.userdata.lint.context import Context
from provisioner.errors import BadInput
from tests.integration.userdata_judge import Judge, judging
from tests.integration.userdata_shapes import CONF, SHAPES, File, Shape

NOW = 1_800_000_000  # when the token of the shapes is good
VERDICTS = ("fine", "warning", "note", "error")  # that it cannot be judged is more than a warning


@pytest.fixture(scope="module")
def judge(image_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    with judging(image_root, tmp_path_factory.mktemp("effect")) as made:
        yield made


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def verdict(found: list[Finding]) -> str:
    said = {"fine", *(one.severity for one in found)}
    return max(said, key=VERDICTS.index)


def is_as_said(path: str, said: File, seen: list[Any] | None) -> bool:
    """A worker's file counts by what the worker reads in it, any other by its text."""
    if seen is None:
        return False
    raw, mode = base64.b64decode(seen[0]), seen[1]
    if said.mode not in (None, mode):
        return False
    if path != CONF:
        return raw == said.text.encode()
    read = guest.read(raw)
    return not read.problems and read.values == guest.read(said.text.encode()).values


def test_there_are_many_shapes_and_verdicts() -> None:
    names = Counter(shape.name for shape in SHAPES)
    count: Counter[str] = Counter(shape.verdict for shape in SHAPES)
    assert not [name for name, times in names.items() if times > 1]
    assert len(SHAPES) >= 100
    assert min(count[one] for one in VERDICTS) >= 12, count


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_severity_follows_the_effect(shape: Shape, judge: Judge) -> None:
    found = wrapping.check(shape.data, Context(now=NOW))
    answer = judge.ask(data=encoded(shape.data), paths=list(shape.files))
    works = all(is_as_said(path, said, answer["files"][path]) for path, said in shape.files.items())
    told = f"works: {works}; {found}; {answer}"
    assert verdict(found) == shape.verdict, told
    assert {one.id for one in found} <= {*names.NAMES, *request.NAMES}
    assert not shape.id or shape.id in {one.id for one in found if one.severity == shape.verdict}, told
    if shape.verdict == "error":
        assert not works, told
    elif shape.verdict in ("fine", "warning"):
        assert works, told


BLANKS = [
    "",
    "\n",
    " ",
    "\t",
    "\r\n",
    "\f",
    "\v",
    "\x1c",
    "\x85",
    "\u00a0",
    "\u2028",
    "\u3000",
    "\ufeff",
    "\u200b",
]
BEGINNINGS = [
    *multipart.KINDS,
    "# cloud-config",
    "cloud-config",
    "#cloudconfig",
    "##template: jinja",
    "<html>",
    "",
]
ENDS = ["", " ", " # mine", "-x", "\r", "\u00e9", ":", "\0"]
TYPES = [
    *("text/plain", "text/x-shellscript", "text/cloud-config", "TEXT/Cloud-Config", "text/cloud-boothook"),
    *(
        "application/octet-stream",
        "text/x-not-multipart",
        "text/x-perl",
        "text/jinja2",
        "application/x-gzip",
    ),
    *("application/gzip", "multipart/mixed"),
]
RESOLVED = ("text/x-include-url", "text/x-include-once-url", "text/cloud-config-archive")
HANDLED = ("text/x-shellscript", "text/cloud-", "text/part-handler")
# What is said of what cloud-init ignores.
IGNORED = {
    *("unknown-header", "empty", "bom", "utf-16", "not-utf8", "nul-byte", "base64-text", "broken-gzip"),
    *("broken-multipart", "gzip-twice", "unknown-part"),
}


@st.composite
def beginnings(draw: st.DrawFn) -> str:
    """How a file may begin; nothing is included, which would ask the network."""
    start = draw(st.sampled_from(BEGINNINGS))
    spelled = draw(st.sampled_from([start, start.upper(), start.title()]))
    end = "" if start.startswith(("#include", "#cloud-config-archive")) else draw(st.sampled_from(ENDS))
    blanks = ["\n"] if start.startswith("#include") else BLANKS
    blank = "".join(draw(st.lists(st.sampled_from(blanks), max_size=2)))
    return f"{blank}{spelled}{end}\n"


def in_a_part(text: str, kind: str, transfer: str, head: str) -> bytes:
    """A multi-part, written by hand: also as no library would write it."""
    raw = gzip.compress(text.encode()) if kind.endswith("gzip") else text.encode()
    body = base64.encodebytes(raw) if transfer == "base64" or raw[:1] == b"\x1f" else raw
    lines = f"--b\nContent-Type: {kind}\nContent-Transfer-Encoding: {transfer}\n\n".encode()
    return head.encode() + b'Content-Type: multipart/mixed; boundary="b"\n\n' + lines + body + b"\n--b--\n"


@st.composite
def user_data(draw: st.DrawFn) -> bytes:
    text = draw(beginnings())
    how = draw(st.sampled_from(["plain", "gzip", "part", "latin-1", "utf-16", "base64", "part", "half"]))
    if how == "part":
        transfer = draw(st.sampled_from(["base64", "8bit", "7bit", "quoted-printable"]))
        head = draw(
            st.sampled_from(["MIME-Version: 1.0\n", "mime-version: 1.0\n", "", "\nMIME-Version: 1.0\n"])
        )
        return in_a_part(text, draw(st.sampled_from(TYPES)), transfer, head)
    if how in ("gzip", "half"):
        return gzip.compress(text.encode())[: None if how == "gzip" else -9]
    if how == "base64":
        return base64.b64encode(text.encode())
    return text.encode("utf-8" if how == "plain" else how, "replace")


def kinds_here(data: bytes) -> list[str]:
    """What cloud-init would go by, as this project finds it out."""
    with suppress(OSError, EOFError, zlib.error):
        data = gzip.decompress(data)
    if not multipart.is_multipart(data):
        kinds = [multipart.kind_of(data) or "text/x-not-multipart"]
    else:
        try:
            kinds = [_kind_here(part) for part in multipart.parts_of(data)]
        except BadInput:
            return ["failed"]
    return ["failed"] if "" in kinds else [kind for kind in kinds if kind not in RESOLVED]


def _kind_here(part: multipart.Part) -> str:
    if part.kind not in multipart.PACKED:
        return multipart.kind_of_part(part)
    try:
        return multipart.kind_of(gzip.decompress(part.data)) or "text/plain"
    except (OSError, EOFError, zlib.error):
        return ""


def test_what_a_file_is_is_decided_as_cloud_init_decides_it(judge: Judge) -> None:
    """Headers in any spelling, wrappings and encodings: here and there the same."""
    seen: Counter[str] = Counter()

    @settings(
        max_examples=3000,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(user_data())
    def one(data: bytes) -> None:
        theirs = judge.ask(kinds=encoded(data))
        assert kinds_here(data) == theirs, data
        found = {finding.id for finding in wrapping.check(data, Context(now=NOW))}
        if theirs == ["text/x-not-multipart"]:
            assert found & IGNORED, (data, found)
        elif all(kind.startswith(HANDLED) for kind in theirs):
            assert "unknown-header" not in found, (data, found)
        seen.update(theirs)

    one()
    assert {*multipart.KINDS.values()} - {*RESOLVED} <= set(seen), seen
    assert seen["text/x-not-multipart"] > 100, seen


def test_a_complaint_of_the_schema_is_no_error(judge: Judge) -> None:
    """cloud-init's schema has something against these, and they work all the same."""
    complained = 0
    for shape in SHAPES:
        if multipart.is_multipart(shape.data) or multipart.kind_of(shape.data) != "text/cloud-config":
            continue
        if shape.verdict in ("fine", "warning") and judge.ask(schema=encoded(shape.data)):
            complained += 1
            assert verdict(wrapping.check(shape.data, Context(now=NOW))) in ("fine", "warning")
    assert complained >= 4
