"""Packages matched with records of OSV."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bakery.description import vulnerabilities
from bakery.description.vulnerabilities import Vulnerability
from provisioner.errors import BadInput
from tests.unit.description.sample import APT, RPM, installed


def record(
    name: str = "gcc-14",
    events: list[dict[str, str]] | None = None,
    ecosystem: str = "Debian:13",
    **more: Any,
) -> dict[str, Any]:
    """A record in the form of Debian's: it names a source package."""
    ranges = [{"type": "ECOSYSTEM", "events": events or [{"introduced": "0"}, {"fixed": "14.2.0-20"}]}]
    return {
        "schema_version": "1.7.0",
        "id": "DEBIAN-CVE-2026-1",
        "modified": "2026-11-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges}],
        **more,
    }


OTHER = record("unrelated", id="DEBIAN-CVE-2026-2")  # so that the ecosystem is there


def found(*records: dict[str, Any], rows: list[str] = APT, folder: Path) -> tuple[Vulnerability, ...]:
    (folder / "dump.json").write_text(json.dumps(records))
    read = vulnerabilities.read(folder / "dump.json")
    return vulnerabilities.find(installed(rows), read, "dump.json")


def test_a_record_of_the_source_names_its_packages(tmp_path: Path) -> None:
    known = record(upstream=["CVE-2026-1"], summary="a hole")
    [one] = found(known, OTHER, folder=tmp_path)
    assert one == Vulnerability(
        "DEBIAN-CVE-2026-1",
        "gcc-14",
        "14.2.0-19",
        "14.2.0-20",
        ("libstdc++6",),
        ("CVE-2026-1",),
        "",
        "a hole",
    )


@pytest.mark.parametrize(
    "other",
    [
        record(events=[{"introduced": "0"}, {"fixed": "14.2.0-19"}]),  # in this version
        record(events=[{"introduced": "0"}, {"fixed": "14.2.0-19~deb13u1"}]),  # lower by dpkg's rules
        record(events=[{"introduced": "14.2.0-20"}]),  # in a later one
        record(events=[{"introduced": "0"}, {"last_affected": "14.2.0-18"}]),
        record(events=[{"introduced": "0"}, {"limit": "14.2.0-19"}]),
        record("libstdc++6"),  # a binary package, which Debian's records do not name
        record("gcc-13"),
        record(ecosystem="Debian:12"),
        record(ecosystem="Debian:130"),
        record(ecosystem="Ubuntu:24.04:LTS"),
        record(withdrawn="2026-11-02T00:00:00Z"),
        {"id": "X", "affected": [{"ranges": []}]},  # of a source repository
        record(affected=[{"package": {"ecosystem": "Debian:13", "name": "gcc-14"}}]),
    ],
)
def test_records_that_do_not_concern_the_image(other: dict[str, Any], tmp_path: Path) -> None:
    assert found(other, OTHER, folder=tmp_path) == ()


@pytest.mark.parametrize(
    "events",
    [
        [{"introduced": "0"}],
        [{"introduced": "14.2.0-19"}],
        [{"introduced": "0"}, {"last_affected": "14.2.0-19"}],
        [{"introduced": "0"}, {"fixed": "14.2.0-19+b1"}],
        [{"introduced": "0"}, {"fixed": "1:1"}],  # an epoch
        [
            {"fixed": "14.2.0-20"},
            {"introduced": "14"},
            {"fixed": "13"},
            {"introduced": "0"},
        ],  # in any order
        [{"introduced": "0"}, {"limit": "*"}],
    ],
)
def test_ranges_with_the_version(events: list[dict[str, str]], tmp_path: Path) -> None:
    assert len(found(record(events=events), folder=tmp_path)) == 1


def test_a_listed_version(tmp_path: Path) -> None:
    package = {"ecosystem": "Debian:13", "name": "bash"}
    # The version of the source: the binary package was rebuilt as 5.2.37-2+b5.
    listed = record(affected=[{"package": package, "versions": ["5.2.37-2"]}])
    [one] = found(listed, folder=tmp_path)
    assert (one.package, one.installed, one.fixed) == ("bash", "5.2.37-2", "")


@pytest.mark.parametrize("name", ["openssl", "openssl-libs"])
def test_records_of_enterprise_linux(name: str, tmp_path: Path) -> None:
    events = [{"introduced": "0"}, {"fixed": "1:3.2.2-6.el9_5.1"}]
    mine = record(name, events, "AlmaLinux:9")
    [one] = found(mine, rows=RPM, folder=tmp_path)
    assert (one.packages, one.fixed) == (("openssl-libs",), "1:3.2.2-6.el9_5.1")
    fixed = record(name, [{"introduced": "0"}, {"fixed": "1:3.2.2-6.el9"}], "AlmaLinux:9")
    assert found(fixed, rows=RPM, folder=tmp_path) == ()


def test_a_dump_of_another_system_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"dump.json has no records for Debian:13"):
        found(record(ecosystem="Debian:12"), folder=tmp_path)
    with pytest.raises(BadInput, match="There is no OSV ecosystem for an unknown system"):
        vulnerabilities.ecosystems({})


def test_one_record_a_folder_and_an_archive(tmp_path: Path) -> None:
    one, folder, archive = tmp_path / "one.osv.json", tmp_path / "records", tmp_path / "all.zip"
    one.write_text(json.dumps(record()))
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "a.json").write_text(json.dumps(record()))
    (folder / "README").write_text("no record")
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.json", json.dumps(record()))
        made.writestr("README", "no record")
    for path in (one, folder, archive):
        assert [record.id for record in vulnerabilities.read(path)] == ["DEBIAN-CVE-2026-1"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"id": 1}', b'{"affected": []}', b"\xff\xfe"])
def test_files_that_are_no_records(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"bad.json is not a record of OSV"):
        list(vulnerabilities.read(tmp_path / "bad.json"))
    with pytest.raises(BadInput, match="Cannot read"):
        list(vulnerabilities.read(tmp_path / "missing.json"))
