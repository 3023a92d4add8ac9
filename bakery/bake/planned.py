"""A planned bake: options resolved to base, plan and store; used by both lookup.py and build.py."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bakery.bake.options import OUTPUT_FOLDER, Options, apt_sources, check, make_plan
from bakery.freshness import age
from bakery.image.bases import Base
from bakery.output import formats
from bakery.output.formats import FORMATS, Format, Level
from bakery.store.store import Manifest, Store, record_use
from provisioner.events import Monitor, note, phase
from provisioner.plan import Plan


@dataclass(frozen=True)
class Baked:
    """The result: `path` is the image for the user, `manifest` holds its proof."""

    path: Path
    manifest: Manifest
    from_store: bool


@dataclass(frozen=True)
class Bake:
    """One bake: its options, and the base and plan resolved from them."""

    options: Options
    base: Base
    plan: Plan
    store: Store
    monitor: Monitor
    more_sources: str  # deb822, for the optional roles
    stale: str = ""  # the SHA-256 of an image of the store that must be baked again
    pins: str = ""  # apt_preferences(5) for the bake only, in addition to those of the release
    age: str = ""  # of the image of the store, in words, with what its repositories say

    @property
    def stored(self) -> Path:
        return self.store.image(self.plan, self.form.stored_suffix)

    @property
    def form(self) -> Format:
        return FORMATS[self.options.format]

    @property
    def rebuilds(self) -> bool:
        """Whether to bake the image even if the store has it."""
        return self.options.rebuild_base or self.options.rebuild_image


def plan_bake(options: Options, store: Store, monitor: Monitor) -> Bake:
    """Resolve options to a bake.

    Raises BadInput: the options contradict each other, or no plan can be made from them.
    """
    check(options)
    base, plan = make_plan(options)
    return Bake(options, base, plan, store, monitor, apt_sources(options))


def missing_levels(this: Bake, manifest: Manifest) -> list[Level]:
    """The requested verification levels that the manifest does not have, in ascending order.

    A level must have been verified with the tests of the site, if there are any.
    """
    proof, tests = manifest["proof"], _digests(this.options.tests)
    return [
        level
        for level in this.form.up_to(this.options.level)
        if level not in proof or (tests and proof[level].get("tests") != tests)
    ]


def _digests(tests: tuple[Path, ...]) -> dict[str, str]:
    if not tests:
        return {}
    from bakery.verify import site_tests

    return site_tests.digests(tests)


def note_stored(this: Bake, manifest: Manifest) -> None:
    """Tell the user that the image is in the store, and record that it was used."""
    known = this.age or (f"baked {age.age(manifest)}" if "made" in manifest else "")
    note(this.monitor, f"The image is already in the cache{f': {known}' if known else ''}.")
    record_use(this.stored)


def result(this: Bake, manifest: Manifest, *, from_store: bool) -> Baked:
    """Hand the image over: in the store, or written to --output or to the output folder.

    Its manifest and the digests of both are written beside the file. Of a file that is not a copy of the
    image in the store, the manifest has size and digest.
    """
    target = this.options.output or _in_folder(this)
    if target is None:
        return Baked(this.stored, manifest, from_store)
    compat = this.options.compat
    formats.write_output(this.form, this.stored, target, this.monitor, compat=compat)
    if compat or not this.form.is_stored:
        from bakery.runtime import digest

        with phase(this.monitor, "compute its SHA-256"):
            manifest = {**manifest, "size": target.stat().st_size, "sha256": digest.of(target)}
    from bakery.description import files  # most calls need no copy

    files.write_manifest(target, manifest)
    return Baked(target, manifest, from_store)


def _in_folder(this: Bake) -> Path | None:
    """The image in the folder WORKER_BAKERY_OUTPUT, which the builder image sets to its volume."""
    folder = os.environ.get(OUTPUT_FOLDER)
    return Path(folder) / f"{this.stored.stem}{this.form.suffix}" if folder else None
