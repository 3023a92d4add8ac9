"""Look an image up: options -> plan -> the store has the image -> its path.

Only an image that the store does not have imports bakery/bake/build.py, which makes it. Most calls find
their image and import no more than this module needs.
"""

from __future__ import annotations

import datetime

from bakery.bake.options import Options
from bakery.bake.planned import Bake, Baked, missing_levels, note_stored, output, plan_bake
from bakery.image import bases, recipe
from bakery.output import formats
from bakery.output.formats import FORMATS
from bakery.store.locks import in_use
from bakery.store.store import Store, is_whole, read_manifest
from provisioner.errors import BadInput
from provisioner.events import Monitor, warn

_ADD_SOURCE = "(Add --with, and the repository by --apt-source FILE.sources.)"


def bake(options: Options, store: Store, monitor: Monitor) -> Baked:
    """Raises every class of provisioner.errors."""
    form = FORMATS[options.format]
    if options.level not in form.levels:
        hint = f"Choose --verify {' or '.join(form.levels)}."
        raise BadInput(f"The format {form.name} cannot be proven to level {options.level}.", hint)
    if options.output:
        formats.check_output(form, options.output)
    this = plan_bake(options, store, monitor)
    ended = bases.warning(this.base, datetime.date.today())
    if ended:
        warn(monitor, ended)
    if lacking := recipe.lacking(options.optional, this.plan):
        warn(
            monitor,
            f"Its repositories have no {' and no '.join(lacking)}: the image will do without. {_ADD_SOURCE}",
        )
    with in_use(this.stored):
        stored = _from_store(this)
    if stored:
        return stored
    from bakery.bake import build

    return build.make(this)


def _from_store(this: Bake) -> Baked | None:
    """The image of the store, if it is whole and has all the proof that is asked for."""
    manifest = read_manifest(this.stored)
    if this.options.rebuild_base or manifest is None or not is_whole(this.stored):
        return None
    if missing_levels(this, manifest):
        return None
    note_stored(this)
    return Baked(output(this), manifest, from_store=True)
