"""bake-image, as far as most calls of it come: options -> plan -> the store has the image -> its path.

What the store does not have is made by bakery/bake/build.py, imported only then: whoever has nothing to bake
waits for this module and what it imports.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from bakery.bake.options import Options, make_plan
from bakery.image import bases, recipe
from bakery.image.bases import Base
from bakery.output import formats
from bakery.output.formats import FORMATS, Format, Level
from bakery.store.locks import in_use
from bakery.store.store import Manifest, Store, is_whole, read_manifest, used
from provisioner.errors import BadInput
from provisioner.events import Monitor, note, warn
from provisioner.plan import Plan

_LEND = "(Add --with, and the repository by --apt-source FILE.sources.)"


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


def bake(options: Options, store: Store, monitor: Monitor) -> Baked:
    """Raises every class of provisioner.errors."""
    form = FORMATS[options.format]
    if options.level not in form.levels:
        hint = f"Choose --verify {' or '.join(form.levels)}."
        raise BadInput(f"The format {form.name} cannot be proven to level {options.level}.", hint)
    if options.output:
        formats.check_output(form, options.output)
    this = planned(options, store, monitor)
    ended = bases.warning(this.base, datetime.date.today())
    if ended:
        warn(monitor, ended)
    if lacking := recipe.lacking(options.optional, this.plan):
        warn(
            monitor,
            f"Its repositories have no {' and no '.join(lacking)}: the image will do without. {_LEND}",
        )
    with in_use(this.stored):
        ready = _from_store(this)
    if ready:
        return ready
    from bakery.bake import build

    return build.make(this)


def planned(options: Options, store: Store, monitor: Monitor) -> Bake:
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


def _from_store(this: Bake) -> Baked | None:
    """The image of the store, if it is whole and has all the proof that is asked for."""
    manifest = read_manifest(this.stored)
    if this.options.rebuild_base or manifest is None or not is_whole(this.stored):
        return None
    if missing(this, manifest):
        return None
    note_known(this)
    return Baked(output(this), manifest, from_store=True)


def missing(this: Bake, manifest: Manifest) -> list[Level]:
    """The levels of proof that are asked for, and that the image does not have."""
    return [level for level in this.form.up_to(this.options.level) if level not in manifest["proof"]]


def note_known(this: Bake) -> None:
    note(this.monitor, "The image is in the store already.")
    used(this.stored)


def output(this: Bake) -> Path:
    """Where the user finds the image; a copy is made of it if an -o says so."""
    if this.options.output is None:
        return this.stored
    formats.output(this.form, this.stored, this.options.output)
    return this.options.output
