"""The workflow of bake-image: plan, store, base, engine, verification, commit, output."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bakery import apt_source, base_image, bases, cache, mirror, recipe
from bakery.bases import Base, VendorImage
from bakery.engines import chroot
from bakery.locks import in_use, turn
from bakery.place import check as check_place
from bakery.place import place
from bakery.rights import require_root
from bakery.store import (
    Manifest,
    Store,
    commit,
    is_whole,
    read_manifest,
    set_aside,
    used,
    work_folder,
    write_manifest,
)
from bakery.verify import ladder
from provisioner import plan as plans
from provisioner import run
from provisioner.errors import BadInput, MissingHere, NotProven
from provisioner.monitor import Monitor, note, warn
from provisioner.plan import Plan
from provisioner.roles import NO_CVMFS, CvmfsClient


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
    optional: tuple[str, ...] = ()  # roles, by name
    cvmfs: CvmfsClient = NO_CVMFS
    apt_sources: tuple[Path, ...] = ()
    architecture: str = ""  # of the base; this machine's by default
    base_image: LocalBase | None = None  # instead of `base`
    base_urls: tuple[str, ...] = ()
    offline: bool = False
    forbid_eol: bool = False


@dataclass(frozen=True)
class LocalBase:
    """A disk image of the user's own, and what has to be known of it; "" is whatever is usual."""

    path: Path
    family: str
    sha256: str = ""
    login: str = ""


@dataclass(frozen=True)
class Baked:
    """`path` is where the user finds the image; the manifest holds its proof."""

    path: Path
    manifest: Manifest
    from_store: bool


def make_plan(options: Options) -> tuple[Base, Plan]:
    base = _base(options)
    return base, recipe.plan(base, options.kind, optional=options.optional, client=options.cvmfs)


def _base(options: Options) -> Base:
    own = options.base_image
    if own is None:
        base = bases.find(options.base, options.architecture)
    else:
        base = bases.local(own.path, own.family, own.sha256, own.login, options.architecture)
    if options.base_urls and not isinstance(base.source, VendorImage):
        raise BadInput(f"--base-url is for a vendor's image, which {base.name} is not.")
    ended = bases.warning(base, datetime.date.today())
    if ended and options.forbid_eol:
        raise BadInput(ended, "Or leave --forbid-eol out.")
    return base


@dataclass(frozen=True)
class _Bake:
    """What the steps of the workflow share."""

    options: Options
    base: Base
    plan: Plan
    store: Store
    monitor: Monitor
    more_sources: str  # deb822, for the optional roles

    @property
    def stored(self) -> Path:
        return self.store.image(self.plan)


def bake(options: Options, store: Store, monitor: Monitor) -> Baked:
    """Raises every class of provisioner.errors."""
    base, plan = make_plan(options)
    if options.apt_sources and not options.optional:
        raise BadInput("--apt-source is for optional roles, and none is asked for.", "Add --with ROLE.")
    if options.offline and options.rebuild_base:
        raise BadInput(
            "--rebuild-base gets the base anew, which --offline forbids.", "Leave one of them out."
        )
    if options.output:
        check_place(options.output)
    ended = bases.warning(base, datetime.date.today())
    if ended:
        warn(monitor, ended)
    limit = cache.limit()
    this = _Bake(options, base, plan, store, monitor, apt_source.read(options.apt_sources))
    with in_use(this.stored):
        ready = _from_store(this)
        if ready:
            return ready
    require_root()
    _require_architecture(base)
    baked = _in_turn(this)
    if not baked.from_store:
        cache.keep_within(limit, store, monitor)
    return baked


def _require_architecture(base: Base) -> None:
    """The chroot engine runs the image's own programs."""
    if base.architecture != bases.host():
        raise MissingHere(
            f"{base.name} is for {base.architecture}, and this machine is {bases.host()}.",
            f"Bake it on a machine that is {base.architecture}; --dry-run shows its plan anywhere.",
        )


def _from_store(this: _Bake) -> Baked | None:
    """The image of the store, if it is whole and has all the proof that is asked for."""
    manifest = read_manifest(this.stored)
    if this.options.rebuild_base or manifest is None or not is_whole(this.stored):
        return None
    if _missing(this, manifest):
        return None
    _note_known(this)
    return Baked(_output(this), manifest, from_store=True)


def _in_turn(this: _Bake) -> Baked:
    """Work on the image of this id as the only process; the others wait here and share the result."""
    waiting = "Another process is baking this image; waiting to share it."
    with turn(this.store.lock(this.plan.image), lambda: note(this.monitor, waiting)):
        known = None if this.options.rebuild_base else _known(this)
        manifest = _complete(this, known) if known else _anew(this)
        return Baked(_output(this), manifest, from_store=known is not None)


def _known(this: _Bake) -> Manifest | None:
    """The manifest of the store's image. One that is to be proven further is hashed first."""
    stored = this.stored
    manifest = read_manifest(stored)
    sound = manifest is not None and is_whole(stored)
    if manifest and sound and _missing(this, manifest):
        sound = base_image.sha256(stored) == manifest["sha256"]
    if sound:
        return manifest
    if stored.exists():
        set_aside(stored, "image", this.monitor)
    return None


def _missing(this: _Bake, manifest: Manifest) -> list[ladder.Level]:
    return [level for level in ladder.up_to(this.options.level) if level not in manifest["proof"]]


def _note_known(this: _Bake) -> None:
    note(this.monitor, "The image is in the store already.")
    used(this.stored)


def _complete(this: _Bake, manifest: Manifest) -> Manifest:
    """An image of the store, with the levels it still lacks added to its proof."""
    _note_known(this)
    missing = _missing(this, manifest)
    if missing:
        with in_use(this.stored), work_folder(this.store) as work:
            manifest = _prove(this, this.stored, missing, manifest, work)
            write_manifest(this.stored, manifest)
    return manifest


def _anew(this: _Bake) -> Manifest:
    run.require(*chroot.TOOLS)
    with work_folder(this.store) as work:
        image = _make(this, work)
        manifest = _manifest(this.plan, image)
        manifest = _prove(this, image, ladder.up_to(this.options.level), manifest, work)
        commit(image, this.stored, manifest)
    return manifest


def _make(this: _Bake, work: Path) -> Path:
    base, store, monitor = this.base, this.store, this.monitor
    packages_from = mirror.find(this.options.mirror)
    release = base.release or base.name
    repositories = chroot.Repositories(release, packages_from.sources(release), this.more_sources)
    rebuild = this.options.rebuild_base
    sources = base_image.Sources(packages_from, this.options.base_urls, this.options.offline)
    with base_image.ready(base, store, sources, work, monitor, rebuild=rebuild):
        return chroot.bake(this.plan, store, repositories, work, monitor)


def _prove(
    this: _Bake, image: Path, levels: Sequence[ladder.Level], manifest: Manifest, work: Path
) -> Manifest:
    """The manifest with the proof of these levels added. Raises NotProven."""
    if not levels:
        return manifest
    request = ladder.Request(
        image,
        tuple(levels),
        this.base.login,
        accelerator=this.options.accelerator,
        firmware=this.base.firmware[0],
    )
    try:
        proof = ladder.prove(request, work, this.monitor)
    except NotProven as error:
        raise _not_proven(this, error, image) from None
    return {**manifest, "proof": {**manifest["proof"], **proof}}


def _not_proven(this: _Bake, error: NotProven, image: Path) -> NotProven:
    if not this.options.keep_failed:
        return NotProven(error.message, f"{error.hint} To keep the image, add --keep-failed.".strip())
    wanted = this.options.output or Path.cwd() / f"{this.plan.kind}-{this.plan.base}.qcow2"
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


def _output(this: _Bake) -> Path:
    if this.options.output is None:
        return this.stored
    place(this.stored, this.options.output)
    return this.options.output
