"""Match the packages of an image with records of known vulnerabilities in the OSV format, offline.

Source: https://ossf.github.io/osv-schema/, "Evaluation" and "Defined ecosystems". Records of Debian and
Ubuntu name source packages; those of Enterprise Linux name source or binary packages.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cmp_to_key, partial
from pathlib import Path

import msgspec

from bakery.description.packages import Installed, Package
from bakery.freshness.versions import COMPARE, Compare
from provisioner import named_file
from provisioner.errors import BadInput

_LIMIT = 256 << 20  # bytes of a file with records


class Event(msgspec.Struct):
    """One of the fields is set, all are versions."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None

    @property
    def version(self) -> str:
        return self.introduced or self.fixed or self.last_affected or self.limit or ""


class Range(msgspec.Struct):
    type: str
    events: list[Event] = []


class Name(msgspec.Struct):
    ecosystem: str
    name: str


class Affected(msgspec.Struct):
    package: Name | None = None
    ranges: list[Range] = []
    versions: list[str] = []
    ecosystem_specific: dict[str, object] | None = None


class Record(msgspec.Struct):
    id: str
    affected: list[Affected] = []
    aliases: list[str] = []
    upstream: list[str] = []
    summary: str = ""
    details: str = ""
    withdrawn: str | None = None


@dataclass(frozen=True, order=True)
class Vulnerability:
    """A record that concerns packages of the image.

    `package` and `installed` are name and version as the record counts them; `packages` are the installed
    packages. `fixed` is the lowest version without it, "" if there is none. `urgency` is Debian's word.
    """

    id: str
    package: str
    installed: str
    fixed: str
    packages: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    urgency: str = ""
    summary: str = ""


# --- matching ----------------------------------------------------------------------------------


def find(installed: Installed, records: Iterable[Record], source: str) -> tuple[Vulnerability, ...]:
    """Return the vulnerabilities of the packages, by id and package.

    Withdrawn records do not count. Raises BadInput: `source` has no record for the system of the image,
    so nothing is known.
    """
    wanted, compare = ecosystems(installed.release), COMPARE[installed.system]
    known = _by_name(installed)
    found: list[Vulnerability] = []
    concerned = False
    for record in records:
        for affected in record.affected:
            if affected.package is None or not _is_one_of(affected.package.ecosystem, wanted):
                continue
            concerned = True
            if not record.withdrawn:
                packages = known.get(affected.package.name, {})
                found += _matches(record, affected, packages, compare)
    if not concerned:
        raise BadInput(f"{source} has no records for {wanted[0]}.", "Get those of the system of the image.")
    return tuple(sorted(set(found)))


def _matches(
    record: Record, affected: Affected, packages: Mapping[str, list[Package]], compare: Compare
) -> Iterator[Vulnerability]:
    assert affected.package
    for version, installed in packages.items():
        if is_affected(version, affected, compare):
            urgency = (affected.ecosystem_specific or {}).get("urgency", "")
            yield Vulnerability(
                record.id,
                affected.package.name,
                version,
                _fixed(version, affected, compare),
                tuple(sorted({one.name for one in installed})),
                tuple(sorted({*record.aliases, *record.upstream})),
                urgency if isinstance(urgency, str) else "",
                record.summary or record.details.partition("\n")[0],
            )


def _by_name(installed: Installed) -> dict[str, dict[str, list[Package]]]:
    """Installed packages by the names and versions that records may use."""
    found: dict[str, dict[str, list[Package]]] = {}
    for package in installed.packages:
        keys = {(package.source or package.name, package.source_version or package.version)}
        if installed.system == "rpm":
            keys.add((package.name, package.version))
        for name, version in keys:
            found.setdefault(name, {}).setdefault(version, []).append(package)
    return found


def ecosystems(release: Mapping[str, str]) -> tuple[str, ...]:
    """The OSV ecosystems of a system, by its os-release(5). Raises BadInput: OSV has none."""
    number = release.get("VERSION_ID", "")
    known: Mapping[str, tuple[str, ...]] = {
        "debian": (f"Debian:{number}", "Debian"),
        "ubuntu": (f"Ubuntu:{number}",),
        "almalinux": (f"AlmaLinux:{number.partition('.')[0]}",),
        "rocky": (f"Rocky Linux:{number.partition('.')[0]}",),
        "rhel": (f"Red Hat:enterprise_linux:{number.partition('.')[0]}",),
    }
    found = known.get(release.get("ID", ""))
    if not found or not number:
        name = release.get("PRETTY_NAME") or release.get("ID") or "an unknown system"
        raise BadInput(f"There is no OSV ecosystem for {name}.", f"Known are {', '.join(known)}.")
    return found


def _is_one_of(ecosystem: str, wanted: tuple[str, ...]) -> bool:
    """Debian:13 is exact, Ubuntu:24.04 includes Ubuntu:24.04:LTS. Debian alone is for all its releases."""
    return ecosystem in wanted or ecosystem.startswith(f"{wanted[0]}:")


def is_affected(version: str, affected: Affected, compare: Compare) -> bool:
    """Whether a version is listed or in a range."""
    ranges = (one.events for one in affected.ranges if one.type == "ECOSYSTEM")
    return version in affected.versions or any(_is_in(version, events, compare) for events in ranges)


def _is_in(version: str, events: list[Event], compare: Compare) -> bool:
    limits = [event.limit for event in events if event.limit is not None]
    if limits and not any(limit == "*" or compare(version, limit) < 0 for limit in limits):
        return False
    found = False
    order: Callable[[Event, Event], int] = partial(_order, compare=compare)
    for event in sorted(events, key=cmp_to_key(order)):
        if event.introduced is not None:
            found = found or event.introduced == "0" or compare(version, event.introduced) >= 0
        elif (event.fixed is not None and compare(version, event.fixed) >= 0) or (
            event.last_affected is not None and compare(version, event.last_affected) > 0
        ):
            found = False
    return found


def _order(a: Event, b: Event, compare: Compare) -> int:
    """By version; "0" of `introduced` is before all others."""
    first, second = a.introduced == "0", b.introduced == "0"
    return second - first if first or second else compare(a.version, b.version)


def _fixed(version: str, affected: Affected, compare: Compare) -> str:
    events = (event for one in affected.ranges if one.type == "ECOSYSTEM" for event in one.events)
    later = [event.fixed for event in events if event.fixed and compare(event.fixed, version) > 0]
    return min(later, key=cmp_to_key(compare), default="")


# --- records -----------------------------------------------------------------------------------


def read(path: Path) -> Iterator[Record]:
    """The records of a JSON file (one, or a list), of all such files in a folder, or in a zip archive.

    Raises BadInput.
    """
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                yield from _decoded(file.read_bytes(), str(file))
        elif path.is_file() and zipfile.is_zipfile(path):
            yield from _of_archive(path)
        else:
            yield from _decoded(named_file.content(path, named_file.DATA_LIMIT), str(path))
    except OSError as error:
        raise BadInput(f"Cannot read {path}: {error.strerror}.") from None


def _of_archive(path: Path) -> Iterator[Record]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json"):
                    if member.file_size > _LIMIT:
                        raise BadInput(f"{path}: {member.filename} is larger than {_LIMIT} bytes.")
                    yield from _decoded(archive.read(member), f"{path}: {member.filename}")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BadInput(f"{path} is not a readable zip archive: {error}.") from None


def _decoded(data: bytes, name: str) -> list[Record]:
    try:
        found: Record | list[Record] = (_MANY if data.lstrip()[:1] == b"[" else _ONE)(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{name} is not a record of OSV: {error}.") from None
    return found if isinstance(found, list) else [found]


_ONE: Callable[[bytes], Record] = msgspec.json.Decoder(Record).decode
_MANY: Callable[[bytes], list[Record]] = msgspec.json.Decoder(list[Record]).decode
