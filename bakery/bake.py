"""The workflow of bake-image: plan, store, base, engine, verification, commit, output."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from bakery import apt_source, base_image, bases, cache, failed, formats, logs, mirror
from bakery.bases import Base
from bakery.engines import checkpoints, choice, chroot, packer, packer_files
from bakery.engines.choice import Engine, Obstacles
from bakery.formats import FORMATS, Format
from bakery.locks import in_use, turn
from bakery.machines import probe
from bakery.mkosi import Build
from bakery.options import Options, make_plan
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
from provisioner.errors import BadInput, MissingHere
from provisioner.monitor import Monitor, note, warn
from provisioner.plan import Plan


@dataclass(frozen=True)
class Baked:
    """`path` is where the user finds the image; the manifest holds its proof."""

    path: Path
    manifest: Manifest
    from_store: bool


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
    def repositories(self) -> chroot.Repositories:
        release = self.base.release
        # Other systems' package managers read the base's own definitions.
        ours = mirror.find(self.options.mirror).sources(release) if self.base.family == "debian" else ""
        return chroot.Repositories(release, ours, self.more_sources, self.options.replaced.lent)

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
    limit = cache.limit()
    this = _of(options, store, monitor)
    ended = bases.warning(this.base, datetime.date.today())
    if ended:
        warn(monitor, ended)
    with logs.kept(store, f"bake-{this.plan.image}", monitor) as log:
        return _bake(replace(this, monitor=log), limit)


def _of(options: Options, store: Store, monitor: Monitor) -> _Bake:
    base, plan = make_plan(options)
    if options.apt_sources and not options.optional:
        raise BadInput("--apt-source is for optional roles, and none is asked for.", "Add --with ROLE.")
    if options.offline and options.rebuild_base:
        raise BadInput(
            "--rebuild-base gets the base anew, which --offline forbids.", "Leave one of them out."
        )
    return _Bake(options, base, plan, store, monitor, apt_source.read(options.apt_sources))


def _bake(this: _Bake, limit: float) -> Baked:
    with in_use(this.stored):
        ready = _from_store(this)
        if ready:
            return ready
    _check_rights(this)
    _require_architecture(this.base)
    baked = _in_turn(this)
    if not baked.from_store:
        cache.keep_within(limit, this.store, this.monitor)
    return baked


def _check_rights(this: _Bake) -> None:
    """Only the engine packer works for who is not root, and no proof does. Raises MissingHere."""
    if this.options.engine == "chroot" or this.options.level != "none":
        require_root()


def _require_architecture(base: Base) -> None:
    """The image's own programs run, in a chroot or in a machine that is not an emulated foreign one."""
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
        with in_use(this.stored), work_folder(this.store) as work, _keeping(this, lambda: this.stored):
            manifest = _prove(this, this.stored, missing, manifest, work)
            write_manifest(this.stored, manifest)
    return manifest


def _anew(this: _Bake) -> Manifest:
    found = choice.obstacles()
    choice.choose(this.options.engine, found)  # before a base is made for nothing
    with work_folder(this.store) as work, _keeping(this, lambda: failed.disk_in(work)):
        image, engine = _make(this, found, work)
        manifest = {**_manifest(this.plan, image), "engine": engine}
        manifest = _prove(this, image, ladder.up_to(this.options.level), manifest, work)
        commit(image, this.stored, manifest)
    return manifest


def _keeping(this: _Bake, find: Callable[[], Path | None]) -> AbstractContextManager[None]:
    name = f"{this.plan.kind}-{this.plan.base}{this.form.suffix}"
    image = this.options.output or Path.cwd() / name
    return failed.keeping(find, image, wanted=this.options.keep_failed)


def _make(this: _Bake, found: Obstacles, work: Path) -> tuple[Path, Engine]:
    """The image in its format, and the engine that made it."""
    with _base(this, work):
        disk = this.store.base(this.plan.base_id)
        engine, why = choice.choose(this.options.engine, _with_mount(this, found, disk, work))
        if why:
            note(this.monitor, why)
        made = _raw_disk(this, engine, disk, work)
        image = formats.write(this.form, made, this.plan, this.base, work, this.monitor)
        made.unlink()
        return image, engine


def _raw_disk(this: _Bake, engine: Engine, base: Path, work: Path) -> Path:
    plan, store, monitor, keep = this.plan, this.store, this.monitor, this.options.checkpoints
    if engine == "chroot":
        return chroot.bake(plan, store, this.repositories, work, monitor, keep)
    accelerator = probe.choose(this.options.accelerator, base, work, monitor)
    return packer.bake(plan, store, this.repositories, accelerator, work, monitor, keep)


def _with_mount(this: _Bake, found: Obstacles, disk: Path, work: Path) -> Obstacles:
    """And whether the kernel mounts the base; a base that was built here it does."""
    if this.options.engine != "auto" or found.chroot or isinstance(this.base.source, Build):
        return found
    return replace(found, chroot=probe.mount_problem(disk, work, this.monitor))


def _base(this: _Bake, work: Path) -> AbstractContextManager[None]:
    """The base in the store, while the block runs."""
    options, is_built = this.options, isinstance(this.base.source, Build)
    packages_from = mirror.find(options.mirror) if is_built else mirror.Mirror("", "")
    sources = base_image.Sources(packages_from, options.base_urls, options.offline)
    return base_image.ready(
        this.base, this.store, sources, work, this.monitor, rebuild=options.rebuild_base
    )


def prepare(options: Options, folder: Path, store: Store, monitor: Monitor) -> Path:
    """Write all that `packer build` needs to bake without us, into a new folder; the file of variables.

    Raises BadInput, and what the making of a base does.
    """
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror}.", "Name a new folder.") from None
    this = _of(options, store, monitor)
    disk = store.base(this.plan.base_id)
    with work_folder(store) as work, _base(this, work):
        accelerator = probe.choose(options.accelerator, disk, work, monitor)
        with checkpoints.nearest(this.plan, store, monitor) as (done, start):
            starts = packer_files.Start(start, done)
            files = packer_files.write(folder.resolve(), this.plan, starts, this.repositories, accelerator)
    return files.variables


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
    proof = ladder.prove(request, work, this.monitor)
    return {**manifest, "proof": {**manifest["proof"], **proof}}


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
    formats.output(this.form, this.stored, this.options.output)
    return this.options.output
