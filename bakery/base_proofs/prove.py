"""Bake the image of a base and prove it, level by level; return what this has shown."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakery import __version__
from bakery.bake import lookup
from bakery.bake.options import Options
from bakery.bake.planned import Baked
from bakery.base_proofs import versions
from bakery.base_proofs.record import NotTried, Proof, Reason, Record, image_digest
from bakery.image import bases
from bakery.image.bases import Base
from bakery.output.formats import FORMATS, Level
from bakery.store.store import Store
from provisioner.errors import BakeryError, DiskFull, Interrupted, MissingHere, Unreachable
from provisioner.events import Monitor, note, warn
from provisioner.process.scrub import scrub

# Exit codes, the worst first: findings about a base come before what another attempt or machine may solve.
SEVERITY = (1, 7, 4, 2, 3, 6, 5)
_LONGEST = 300  # characters of a reason; the log folder has all
# Of a failed boot: what follows these words is for the log, not for a table.
_CONSOLE = "The last lines of its console:"


@dataclass(frozen=True)
class Attempt:
    """The record of one attempt; `exit_code` is that of its error, 0 if the requested level was reached."""

    record: Record
    exit_code: int = 0


def prove(base: Base, options: Options, store: Store, monitor: Monitor) -> Attempt:
    """Bake the image of `base`, whose name or file is `options.base`, and prove it to `options.level`.

    Errors become part of the record; only Interrupted is raised. The image is proven to one level after
    the other, so that the record names the highest level that passed.
    """
    proof = Proof(
        at=_now(),
        architecture=base.architecture,
        image=image_digest(base),
        versions={"worker-bakery": __version__},
    )
    if base.architecture != bases.host():
        text = f"The base is for {base.architecture}, this machine is {bases.host()}."
        return Attempt(
            Record(not_tried=NotTried(_now(), "other architecture", text)), MissingHere.exit_code
        )
    note(monitor, f"Proving the base {base.name}.")
    reached: Proof | None = None
    for level in ("none", *FORMATS[options.format].up_to(options.level)):
        started = time.monotonic()
        try:
            baked = lookup.bake(_of_level(options, level), store, monitor)
        except Interrupted:
            raise
        except BakeryError as error:
            return _ended(error, level, reached, proof, options)
        if level == "none":
            seconds = None if baked.from_store else round(time.monotonic() - started, 1)
            proof = _with_image(proof, seconds, _versions(baked, store, monitor))
        else:
            proof = reached = _with_level(proof, level, baked.manifest["proof"][level])
    return Attempt(Record(proof=reached))


def worst(codes: Sequence[int]) -> int:
    """Return the exit code for several attempts: the first of SEVERITY; 0 if all reached their level."""
    failed = [code for code in codes if code]
    return min(failed, key=lambda code: SEVERITY.index(code) if code in SEVERITY else -1, default=0)


# --- what an attempt has shown -----------------------------------------------------------------------


def _with_image(proof: Proof, seconds: float | None, found: Mapping[str, str]) -> Proof:
    """Return the proof with the versions in the image; `seconds` of the bake, None if it was stored."""
    took = {} if seconds is None else {"bake": seconds}
    return dataclasses.replace(proof, versions={**proof.versions, **found}, seconds=took)


def _of_level(options: Options, level: Level) -> Options:
    """The options of one step; only the first asks the repositories for updates."""
    refresh = options.refresh if level == "none" else "never"
    return dataclasses.replace(options, level=level, refresh=refresh)


def _with_level(proof: Proof, level: Level, entry: Mapping[str, Any]) -> Proof:
    """Return the proof with a level that passed; `entry` is that of the image's manifest."""
    seconds = round(sum(check["seconds"] for check in entry["checks"]), 1)
    return dataclasses.replace(
        proof, at=entry["at"], level=level, seconds={**proof.seconds, level: seconds}
    )


def _versions(baked: Baked, store: Store, monitor: Monitor) -> Mapping[str, str]:
    try:
        return versions.read(baked.path, store, monitor)
    except Interrupted:
        raise
    except BakeryError as error:
        warn(monitor, f"Cannot read the versions in the image: {error.message}")
        return {}


def _ended(
    error: BakeryError, level: Level, reached: Proof | None, proof: Proof, options: Options
) -> Attempt:
    """Return the attempt that an error ended while `level` was tried ("none": the bake)."""
    if reason := _why_not_tried(error, options):
        not_tried = NotTried(_now(), reason, _one_line(error.message))
        return Attempt(Record(proof=reached, not_tried=not_tried), error.exit_code)
    stage = "bake" if level == "none" else level
    failed = dataclasses.replace(proof, at=_now(), failed=f"{stage}: {in_words(error, stage)}")
    return Attempt(Record(proof=failed), error.exit_code)


def _why_not_tried(error: BakeryError, options: Options) -> Reason | None:
    """Return why an error says nothing about the base; None if it does."""
    if isinstance(error, Unreachable):
        return "unreachable"
    if isinstance(error, MissingHere) and options.accelerator == "kvm" and "KVM" in error.message:
        return "needs KVM"
    return "this machine" if isinstance(error, MissingHere | DiskFull) else None


def in_words(error: BakeryError, stage: str) -> str:
    """Return the check or step and the reason in one line, without the console's lines and tokens."""
    where = error.where.removeprefix(f"level {stage}: ")
    reason = error.message.partition(_CONSOLE)[0]
    return _one_line(f"{where}: {reason}" if where else reason)


def _one_line(text: str) -> str:
    line = scrub(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
