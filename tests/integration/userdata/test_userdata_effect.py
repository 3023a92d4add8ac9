"""The severity of a finding of `--check` agrees with what a worker's cloud-init and shells do.

cloud-init's own code processes each sample in the root of a worker image and runs its scripts. The files on
the disk are then compared with the intended files: there must be no false error and no missed one.
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
from tests.conftest import Folders
from tests.integration.userdata_reference import Reference, reference_in
from tests.integration.userdata_shapes import CONF, SHAPES, File, Shape

NOW = 1_800_000_000  # when the token of the shapes is good
SEVERITIES = ("fine", "warning", "note", "error")  # in their order: a note outweighs a warning


@pytest.fixture(scope="module")
def reference(image_root: Path, folders: Folders) -> Iterator[Reference]:
    with reference_in(image_root, folders("effect")) as made:
        yield made


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def severity(found: list[Finding]) -> str:
    """The highest severity of the findings; "fine" if there are none."""
    return max({"fine", *(one.severity for one in found)}, key=SEVERITIES.index)


def is_as_intended(path: str, intended: File, seen: list[Any] | None) -> bool:
    """Compare a worker's file by the values that the worker reads, any other file by its text."""
    if seen is None:
        return False
    raw, mode = base64.b64decode(seen[0]), seen[1]
    if intended.mode not in (None, mode):
        return False
    if path != CONF:
        return raw == intended.text.encode()
    read = guest.read(raw)
    return not read.problems and read.values == guest.read(intended.text.encode()).values


def test_there_are_many_samples_of_each_severity() -> None:
    names = Counter(shape.name for shape in SHAPES)
    count: Counter[str] = Counter(shape.severity for shape in SHAPES)
    assert not [name for name, times in names.items() if times > 1]
    assert len(SHAPES) >= 100
    assert min(count[one] for one in SEVERITIES) >= 12, count


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_severity_agrees_with_the_effect(shape: Shape, reference: Reference) -> None:
    found = wrapping.check(shape.data, Context(now=NOW))
    result = reference.run(data=encoded(shape.data), paths=list(shape.files))
    works = all(
        is_as_intended(path, intended, result["files"][path]) for path, intended in shape.files.items()
    )
    details = f"works: {works}; {found}; {result}"
    assert severity(found) == shape.severity, details
    assert {one.id for one in found} <= {*names.NAMES, *request.NAMES}
    assert not shape.id or shape.id in {one.id for one in found if one.severity == shape.severity}, details
    if shape.severity == "error":
        assert not works, details
    elif shape.severity in ("fine", "warning"):
        assert works, details


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
# The findings of user-data that cloud-init ignores.
IGNORED = {
    *("unknown-header", "empty", "bom", "utf-16", "not-utf8", "nul-byte", "base64-text", "broken-gzip"),
    *("broken-multipart", "gzip-twice", "unknown-part"),
}


@st.composite
def beginnings(draw: st.DrawFn) -> str:
    """The beginning of a file; never an #include of a URL, which needs the network."""
    start = draw(st.sampled_from(BEGINNINGS))
    spelled = draw(st.sampled_from([start, start.upper(), start.title()]))
    end = "" if start.startswith(("#include", "#cloud-config-archive")) else draw(st.sampled_from(ENDS))
    blanks = ["\n"] if start.startswith("#include") else BLANKS
    blank = "".join(draw(st.lists(st.sampled_from(blanks), max_size=2)))
    return f"{blank}{spelled}{end}\n"


def in_a_part(text: str, kind: str, transfer: str, head: str) -> bytes:
    """A multi-part message written by hand, with forms that no library writes."""
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


def own_kinds(data: bytes) -> list[str]:
    """The types of the parts as this project determines them."""
    with suppress(OSError, EOFError, zlib.error):
        data = gzip.decompress(data)
    if not multipart.is_multipart(data):
        kinds = [multipart.kind_of(data) or "text/x-not-multipart"]
    else:
        try:
            kinds = [_own_kind(part) for part in multipart.parts_of(data)]
        except BadInput:
            return ["failed"]
    return ["failed"] if "" in kinds else [kind for kind in kinds if kind not in RESOLVED]


def _own_kind(part: multipart.Part) -> str:
    if part.kind not in multipart.PACKED:
        return multipart.kind_of_part(part)
    try:
        return multipart.kind_of(gzip.decompress(part.data)) or "text/plain"
    except (OSError, EOFError, zlib.error):
        return ""


def test_types_are_determined_as_by_cloud_init(reference: Reference) -> None:
    """The same types as cloud-init's for headers in any spelling, any packing and encoding."""
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
        expected = reference.run(kinds=encoded(data))
        assert own_kinds(data) == expected, data
        found = {finding.id for finding in wrapping.check(data, Context(now=NOW))}
        if expected == ["text/x-not-multipart"]:
            assert found & IGNORED, (data, found)
        elif all(kind.startswith(HANDLED) for kind in expected):
            assert "unknown-header" not in found, (data, found)
        seen.update(expected)

    one()
    assert {*multipart.KINDS.values()} - {*RESOLVED} <= set(seen), seen
    assert seen["text/x-not-multipart"] > 100, seen


def test_a_finding_of_the_schema_alone_is_not_an_error(reference: Reference) -> None:
    """cloud-init's schema rejects these samples, but they work."""
    rejected = 0
    for shape in SHAPES:
        if multipart.is_multipart(shape.data) or multipart.kind_of(shape.data) != "text/cloud-config":
            continue
        if shape.severity in ("fine", "warning") and reference.run(schema=encoded(shape.data)):
            rejected += 1
            assert severity(wrapping.check(shape.data, Context(now=NOW))) in ("fine", "warning")
    assert rejected >= 4
