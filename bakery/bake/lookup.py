"""Bake an image: return it from the store if it is there, otherwise build it.

bakery/bake/build.py is imported only when the store does not have the image: most calls find it, and
start faster without that import.
"""

from __future__ import annotations

import datetime

from bakery.bake.options import Options
from bakery.bake.planned import Bake, Baked, missing_levels, note_stored, plan_bake, result
from bakery.image import bases, recipe
from bakery.store.locks import shared_lock
from bakery.store.store import Store, is_intact, read_manifest
from provisioner.events import Monitor, warn

_ADD_SOURCE = "To install, add --with ROLE and --apt-source FILE.sources."


def bake(options: Options, store: Store, monitor: Monitor) -> Baked:
    """Return the image described by `options`, from the store or newly built.

    Raises every class of provisioner.errors except Different.
    """
    baked = _bake(plan_bake(options, store, monitor))
    if options.lock and not options.lock.exists():
        from bakery.freshness import replay

        replay.write(options.lock, baked.manifest)
    return baked


def _bake(this: Bake) -> Baked:
    options, monitor = this.options, this.monitor
    ended = bases.warning(this.base, datetime.date.today())
    if ended:
        warn(monitor, ended)
    if lacking := recipe.missing_ospool_roles(options.optional, this.plan):
        warn(
            monitor,
            f"The image will not have {' or '.join(lacking)}: the repositories of {this.base.name} "
            f"do not offer it. {_ADD_SOURCE}",
        )
    if options.refresh != "never" and not options.offline and not options.rebuild_base:
        from bakery.bake import fresh  # asks over the network

        this = fresh.judged(this)
    with shared_lock(this.stored):
        stored = None if this.stale else _from_store(this)
    if stored:
        return stored
    from bakery.bake import build

    return build.make(this)


def _from_store(this: Bake) -> Baked | None:
    """The image of the store, if it is complete and has every requested verification level."""
    manifest = read_manifest(this.stored)
    if this.rebuilds or manifest is None or not is_intact(this.stored):
        return None
    if missing_levels(this, manifest):
        return None
    note_stored(this, manifest)
    return result(this, manifest, from_store=True)
