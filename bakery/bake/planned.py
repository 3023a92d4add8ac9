"""A bake that is planned: options -> base, plan and store; and what looking up and baking share of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bakery.bake.options import Options, make_plan
from bakery.image.bases import Base
from bakery.output import formats
from bakery.output.formats import FORMATS, Format, Level
from bakery.store.store import Manifest, Store, used
from provisioner.errors import BadInput
from provisioner.events import Monitor, note
from provisioner.plan import Plan


@dataclass(frozen=True)
class Baked:
    """`path` is where the user finds the image; the manifest holds its proof."""

    path: Path
    manifest: Manifest
    from_store: bool


@dataclass(frozen=True)
class Bake:
    """What is to be baked, and what all that work on it share."""

    options: Options
    base: Base
    plan: Plan
    store: Store
    monitor: Monitor
    more_sources: str  # deb822, for the optional roles

    @property
    def stored(self) -> Path:
        return self.store.image(self.plan, self.form.suffix)

    @property
    def form(self) -> Format:
        return FORMATS[self.options.format]


def plan_bake(options: Options, store: Store, monitor: Monitor) -> Bake:
    """Raises BadInput for options that do not go together, or that no plan can be made of."""
    base, plan = make_plan(options)
    if options.apt_sources and not options.optional:
        raise BadInput("--apt-source is for optional roles, and none is asked for.", "Add --with ROLE.")
    if options.offline and options.rebuild_base:
        raise BadInput(
            "--rebuild-base gets the base anew, which --offline forbids.", "Leave one of them out."
        )
    return Bake(options, base, plan, store, monitor, _more_sources(options))


def _more_sources(options: Options) -> str:
    if not options.apt_sources:
        return ""
    from bakery.image import apt_source

    return apt_source.read(options.apt_sources)


def missing_levels(this: Bake, manifest: Manifest) -> list[Level]:
    """The levels of proof that are asked for, and that the image does not have."""
    return [level for level in this.form.up_to(this.options.level) if level not in manifest["proof"]]


def note_stored(this: Bake) -> None:
    note(this.monitor, "The image is in the store already.")
    used(this.stored)


def output(this: Bake) -> Path:
    """Where the user finds the image; a copy is made of it if an -o says so."""
    if this.options.output is None:
        return this.stored
    formats.output(this.form, this.stored, this.options.output)
    return this.options.output
