"""The workflow of bake-image: plan, store, base, engine, verification, commit, output."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakery import base_image, bases, mirror, recipe
from bakery.bases import Base
from bakery.engines import chroot
from bakery.mkosi import Build
from bakery.place import place
from bakery.rights import require_root
from bakery.store import Manifest, Store, commit, read_manifest, work_folder, write_manifest
from bakery.verify import ladder
from provisioner import plan as plans
from provisioner import run
from provisioner.errors import NotProven
from provisioner.monitor import Monitor, note
from provisioner.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Options:
    base: str = bases.DEFAULT
    kind: str = "osg"
    output: Path | None = None
    level: ladder.Level = "boot"
    mirror: str = ""
    keep_failed: bool = False
    rebuild_base: bool = False
    accelerator: str = "auto"


@dataclass(frozen=True)
class Baked:
    """`path` is where the user finds the image; the manifest holds its proof."""

    path: Path
    manifest: Manifest
    from_store: bool


def make_plan(options: Options) -> tuple[Base, Plan]:
    base = bases.find(options.base)
    return base, recipe.plan(base, options.kind)


def bake(options: Options, store: Store, monitor: Monitor) -> Baked:
    """Raises every class of provisioner.errors."""
    base, plan = make_plan(options)
    manifest = None if options.rebuild_base else read_manifest(store.image(plan))
    if manifest is not None:
        return _from_store(options, base, plan, manifest, store, monitor)
    require_root()
    run.require(*chroot.TOOLS)
    with work_folder(store) as work:
        image = _make(options, base, plan, store, work, monitor)
        manifest = _manifest(plan, image)
        manifest = _prove(image, ladder.up_to(options.level), manifest, options, base, store, work, monitor)
        commit(image, store.image(plan), manifest)
    return Baked(_output(options, plan, store), manifest, from_store=False)


def _from_store(
    options: Options, base: Base, plan: Plan, manifest: Manifest, store: Store, monitor: Monitor
) -> Baked:
    image = store.image(plan)
    note(monitor, "The image is in the store already.")
    missing = [level for level in ladder.up_to(options.level) if level not in manifest["proof"]]
    if missing:
        require_root()
        with work_folder(store) as work:
            manifest = _prove(image, missing, manifest, options, base, store, work, monitor)
            write_manifest(image, manifest)
    return Baked(_output(options, plan, store), manifest, from_store=True)


def _make(options: Options, base: Base, plan: Plan, store: Store, work: Path, monitor: Monitor) -> Path:
    packages_from = mirror.find(options.mirror)
    if options.rebuild_base:
        store.forget_base(base.id)
    base_image.ensure(base, store, packages_from, work, monitor)
    release = base.source.release if isinstance(base.source, Build) else base.name
    return chroot.bake(plan, store, release, packages_from.sources(release), work, monitor)


def _prove(
    image: Path,
    levels: Sequence[ladder.Level],
    manifest: Manifest,
    options: Options,
    base: Base,
    store: Store,
    work: Path,
    monitor: Monitor,
) -> Manifest:
    """The manifest with the proof of these levels added. Raises NotProven."""
    if not levels:
        return manifest
    request = ladder.Request(image, tuple(levels), base.login, accelerator=options.accelerator)
    try:
        proof = ladder.prove(request, work, monitor)
    except NotProven as error:
        raise _not_proven(error, image, options, manifest) from None
    return {**manifest, "proof": {**manifest["proof"], **proof}}


def _not_proven(error: NotProven, image: Path, options: Options, manifest: Manifest) -> NotProven:
    if not options.keep_failed:
        return NotProven(error.message, f"{error.hint} To keep the image, add --keep-failed.".strip())
    wanted = options.output or Path.cwd() / f"{manifest['kind']}-{manifest['base']}.qcow2"
    kept = wanted.with_name(f"{wanted.stem}.failed{wanted.suffix}")
    place(image, kept)
    return NotProven(error.message, f"{error.hint} The failed image was kept: {kept}".strip())


def _manifest(plan: Plan, image: Path) -> Manifest:
    return {
        "format": 1,
        "id": plan.id,
        "base": plan.base,
        "kind": plan.kind,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "size": image.stat().st_size,
        "sha256": base_image.sha256(image),
        "proof": {},
        "plan": plans.to_json(plan),
    }


def _output(options: Options, plan: Plan, store: Store) -> Path:
    if options.output is None:
        return store.image(plan)
    place(store.image(plan), options.output)
    return options.output
