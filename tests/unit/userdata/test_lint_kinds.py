"""What user-data is, as cloud-init decides it (test_userdata_effect.py asks cloud-init itself)."""

from __future__ import annotations

import pytest

from bakery.userdata import findings
from bakery.userdata.delivery import multipart
from bakery.userdata.findings import error, note, warning
from provisioner.errors import BadInput


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        ("#cloud-config", "text/cloud-config"),
        ("#Cloud-Config # my file", "text/cloud-config"),
        ("\n\n \t#cloud-config", "text/cloud-config"),
        ("#cloud-config-archive", "text/cloud-config-archive"),
        ("#cloud-configuration", "text/cloud-config"),
        ("#!/bin/sh", "text/x-shellscript"),
        ("\u00a0#!/bin/sh", "text/x-shellscript"),
        ("#include-once", "text/x-include-once-url"),
        ("## Template: Jinja", "text/jinja2"),
        ("# cloud-config", ""),
        ("\ufeff#cloud-config", ""),
        ("", ""),
    ],
)
def test_kind_of(start: str, kind: str) -> None:
    assert multipart.kind_of(f"{start}\n".encode()) == kind


def test_a_script_behind_empty_lines_is_not_included() -> None:
    with pytest.raises(BadInput, match="white space before its first line"):
        multipart.parse_include("x.sh", b"\n#!/bin/sh\n")
    assert multipart.parse_include("x.yaml", b"\n#cloud-config\n")[0].kind == "text/cloud-config"


def test_a_script_that_names_mime_version_is_one_part() -> None:
    (part,) = multipart.parse_include("x.sh", b"#!/bin/sh\necho MIME-Version: 1.0\n")
    assert part.kind == "text/x-shellscript"


def test_strictly_a_warning_is_an_error_and_a_note_stays_one() -> None:
    found = [error("a", "x"), warning("b", "x"), note("c", "x")]
    assert [one.severity for one in findings.apply_policy(found, allowed=(), strict=True)] == [
        "error",
        "error",
        "note",
    ]
    assert [one.id for one in findings.errors(found)] == ["a"]
