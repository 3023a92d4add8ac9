"""Where two raw disks differ: in the partition table, in which partitions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioner.disk.file_systems import Partition, partitions

_CHUNK = 1 << 20


def differing(a: Path, b: Path) -> list[str]:
    """The regions of two raw disks that differ, each with its first different byte; [] if none do."""
    if a.stat().st_size != b.stat().st_size:
        return [f"size of the disk: {a.stat().st_size} and {b.stat().st_size} bytes"]
    found = partitions(a)
    spans = [(f"partition {each.number} ({each.file_system or 'no file system'})", each) for each in found]
    rows = [(name, _first(a, b, [(each.start, each.start + each.size)])) for name, each in spans]
    rows.append(("outside of the partitions", _first(a, b, _between(found, a.stat().st_size))))
    return [f"{name}: from byte {at} of the disk" for name, at in rows if at is not None]


def _between(found: Sequence[Partition], size: int) -> list[tuple[int, int]]:
    ordered = sorted(found, key=lambda each: each.start)
    starts = [0, *(each.start + each.size for each in ordered)]
    return list(zip(starts, [*(each.start for each in ordered), size], strict=True))


def _first(a: Path, b: Path, spans: Sequence[tuple[int, int]]) -> int | None:
    """The offset of the first different byte in these spans (start, end)."""
    with a.open("rb") as left, b.open("rb") as right:
        for at, length in _chunks(spans):
            left.seek(at)
            right.seek(at)
            mine, theirs = left.read(length), right.read(length)
            if mine != theirs:
                pairs = enumerate(zip(mine, theirs, strict=True))
                return at + next(n for n, (one, other) in pairs if one != other)
    return None


def _chunks(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for start, end in spans:
        yield from ((at, min(_CHUNK, end - at)) for at in range(start, end, _CHUNK))
