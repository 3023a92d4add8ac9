"""The record of a base: its newest proof, and why it was not tried since. Pure data and functions.

The result file `packer/proofs.json` has one record for each base:

    {"format": 1,
     "bases": {"rocky9": {
        "tests": "on a stand-in, not the vendor's image",
        "proof": {"at": "2026-11-28T22:26:37+00:00", "architecture": "x86_64", "image": "sha256:92c2…",
                  "versions": {"worker-bakery": "0.2.0", "HTCondor": "25.0.1-1", "kernel": "5.14.0-…",
                               "cloud-init": "24.4-7.el9"},
                  "level": "boot", "seconds": {"bake": 71.0, "offline": 5.9, "boot": 31.2},
                  "failed": "pool: the worker joined: …"},
        "not_tried": {"at": "2026-11-29T02:17:04+00:00", "reason": "unreachable", "text": "…"}}}}

Each of the three keys may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from bakery.image.bases import Base, VendorImage
from bakery.output.formats import LEVELS, Level

FORMAT = 1
Reason = Literal["unreachable", "other architecture", "needs KVM", "this machine"]
DECLARED_ONLY = "no: declared only"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What an attempt to bake and prove a base has shown.

    `at` is the time (ISO 8601, UTC) of the highest level that passed, or of the failure. `image` is the
    digest of the base image (`image_digest`). `level` is the highest level that passed. `seconds` has the
    sum of the checks of each level that passed, and `bake` if the image was baked for this proof. `failed`
    is the level or step, the check and the reason; "" if nothing failed.
    """

    at: str
    architecture: str
    image: str
    versions: Mapping[str, str]
    level: Level = "none"
    seconds: Mapping[str, float] = field(default_factory=dict)
    failed: str = ""


@dataclass(frozen=True)
class NotTried:
    """Why the last attempt ended before the requested level, without a finding about the base."""

    at: str
    reason: Reason
    text: str


@dataclass(frozen=True)
class Record:
    """All that is known of one base.

    `tests` says what the tests of this project show of it; people write it, and proofs keep it.
    """

    tests: str = ""
    proof: Proof | None = None
    not_tried: NotTried | None = None


Records = Mapping[str, Record]


def image_digest(base: Base) -> str:
    """Return ALGORITHM:DIGEST of a vendor's image; of a base built from packages, recipe:DIGEST."""
    source = base.source
    return f"{source.algorithm}:{source.digest}" if isinstance(source, VendorImage) else f"recipe:{base.id}"


# --- merge ---------------------------------------------------------------------------------------


def merged(old: Record, new: Record) -> Record:
    """Return the record of a base after a new attempt.

    The earlier proof is kept, with its date, if the attempt has no proof, or if it ended without a failure
    at a lower level: it was not asked for more, or it could not be tried.
    """
    return Record(new.tests or old.tests, _newer(old.proof, new.proof), new.not_tried)


def _newer(old: Proof | None, new: Proof | None) -> Proof | None:
    if old is None or new is None:
        return new or old
    is_news = bool(new.failed) or LEVELS.index(new.level) >= LEVELS.index(old.level)
    return new if is_news else old


# --- in words --------------------------------------------------------------------------------------


def statement(record: Record) -> str:
    """Return what was shown, without a date: what the tests show, else the level of the proof."""
    if record.tests or not record.proof:
        return record.tests or DECLARED_ONLY
    return record.proof.level


def summary(record: Record, base: Base) -> str:
    """Return what was shown of a base in a few words, with its date."""
    proof = record.proof
    if proof is None:
        return record.tests or _never_tried(record)
    parts = [*([record.tests] if record.tests else []), f"{proof.level} on {day(proof.at)}"]
    if proof.failed:
        parts.append(f"failed: {proof.failed.partition(':')[0]}")
    if proof.architecture == base.architecture and proof.image != image_digest(base):
        parts.append("of another image than the pinned one")
    return "; ".join(parts)


def _never_tried(record: Record) -> str:
    if not record.not_tried:
        return DECLARED_ONLY
    return f"{DECLARED_ONLY} ({record.not_tried.reason} on {day(record.not_tried.at)})"


def day(at: str) -> str:
    """Return the date of a time in ISO 8601."""
    return at.partition("T")[0]


# --- JSON ------------------------------------------------------------------------------------------


def to_json(record: Record) -> dict[str, Any]:
    """Return the record without empty values; keys in the order of the classes."""
    return {name: _present(value) for name, value in asdict(record).items() if value}


def _present(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: inner for name, inner in value.items() if inner not in ("", {})}


def from_json(data: Mapping[str, Any]) -> Record:
    """Read what `to_json` returned. Raises KeyError, TypeError, ValueError."""
    proof, not_tried = data.get("proof"), data.get("not_tried")
    return Record(
        tests=str(data.get("tests", "")),
        proof=None if proof is None else _proof(proof),
        not_tried=None if not_tried is None else _not_tried(not_tried),
    )


def _proof(data: Mapping[str, Any]) -> Proof:
    read = Proof(**{"versions": {}, **data})
    if read.level not in LEVELS:
        raise ValueError(f"level {read.level!r} is not one of {', '.join(LEVELS)}")
    return read


def _not_tried(data: Mapping[str, Any]) -> NotTried:
    read = NotTried(**data)
    if read.reason not in get_args(Reason):
        raise ValueError(f"reason {read.reason!r} is not one of {', '.join(get_args(Reason))}")
    return read
