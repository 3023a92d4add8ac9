"""Build, prove and commit an image that the store does not have, or add proof that it lacks.

bakery/bake/lookup.py imports this module only when there is something to build or prove.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from bakery import __version__
from bakery.bake import failed, fresh, reproducible
from bakery.bake.options import Options, package_mirror
from bakery.bake.planned import Bake, Baked, missing_levels, note_stored, plan_bake, result
from bakery.description import packages
from bakery.engines import checkpoints, choice
from bakery.engines.choice import Engine, Obstacles
from bakery.engines.chroot import engine as chroot
from bakery.engines.made import Made
from bakery.freshness.record import Installed
from bakery.image import bases
from bakery.image import system as system_of
from bakery.image.bases import Base
from bakery.image.mkosi import Build
from bakery.machines import probe
from bakery.output import formats
from bakery.output.formats import Level
from bakery.runtime import digest, mirror, privileges
from bakery.runtime.privileges import require_root
from bakery.sources import base_image
from bakery.store import logs, retention
from bakery.store.locks import exclusive_lock, lock_file, shared_lock
from bakery.store.store import (
    Manifest,
    Store,
    commit,
    is_intact,
    read_manifest,
    rename_damaged,
    work_folder,
    write_manifest,
)
from bakery.verify import verification
from provisioner import plan as plans
from provisioner.errors import BadInput, MissingHere
from provisioner.events import Monitor, note, warn


def make(this: Bake) -> Baked:
    """Return the image, built or completed.

    Raises every class of provisioner.errors except Different.
    """
    limit = retention.limit()
    with logs.record(this.store, f"bake-{this.plan.image}", this.monitor) as log:
        _check_privileges(this)
        _require_architecture(this.base)
        baked = _make_locked(replace(this, monitor=log))
        if not baked.from_store:
            retention.enforce_limit(limit, this.store, log)
        return baked


def _repositories(this: Bake) -> chroot.Repositories:
    release = this.base.release
    # Only Debian gets a mirror: elsewhere the package manager reads the base's own definitions.
    sources = package_mirror(this.options).sources(release) if this.base.family == "debian" else ""
    urls, refresh = this.options.replaced.temporary_urls, fresh.asks(this)
    return chroot.Repositories(release, sources, this.more_sources, urls, refresh, this.pins)


def _check_privileges(this: Bake) -> None:
    """Raises MissingHere: root is required for the chroot engine and for every verification level."""
    if this.options.engine == "chroot" or this.options.level != "none":
        require_root()


def _require_architecture(base: Base) -> None:
    """Raises MissingHere: the programs of the image must run on this machine's processor."""
    if base.architecture != bases.host():
        raise MissingHere(
            f"The base {base.name} is for {base.architecture}, but this machine is {bases.host()}.",
            f"Bake it on an {base.architecture} machine. --dry-run shows the plan on any machine.",
        )


def _make_locked(this: Bake) -> Baked:
    """Build the image while holding the lock of its id; other processes wait here and share the result."""
    waiting = "Another process is baking this image. Waiting for its result."
    with lock_file(this.store.lock(this.plan.image), lambda: note(this.monitor, waiting)):
        known = None if this.rebuilds else _stored_manifest(this)
        manifest = _complete(this, known) if known else _build(this)
        return result(this, manifest, from_store=known is not None)


def _stored_manifest(this: Bake) -> Manifest | None:
    """The manifest of the intact image in the store, or None.

    An image that needs more proof is hashed first. A damaged image is set aside.
    """
    stored = this.stored
    manifest = read_manifest(stored)
    sound = manifest is not None and is_intact(stored)
    if manifest and sound and this.stale == manifest.get("sha256"):
        return None  # it is replaced when the new one is finished
    if manifest and sound and missing_levels(this, manifest):
        sound = digest.of(stored) == manifest["sha256"]
    if sound:
        return manifest
    if stored.exists():
        rename_damaged(stored, "image", this.monitor)
    return None


def _complete(this: Bake, manifest: Manifest) -> Manifest:
    """Add the missing verification levels to the proof of an image in the store."""
    note_stored(this, manifest)
    levels = missing_levels(this, manifest)
    if levels:
        with (
            shared_lock(this.stored),
            work_folder(this.store) as work,
            _keep_disk_on_failure(this, lambda: this.stored),
        ):
            manifest = _prove(this, this.stored, levels, manifest, work)
            write_manifest(this.stored, manifest)
    return manifest


def _build(this: Bake) -> Manifest:
    started = _now()
    found = choice.obstacles(this.options.engine, boots=this.form.boots)
    choice.choose(this.options.engine, found)  # fails before time is spent on the base
    with work_folder(this.store) as work, _keep_disk_on_failure(this, lambda: failed.disk_in(work)):
        image, engine, more = make_image(this, found, work, search=not this.form.up_to(this.options.level))
        about = {"system": system_of.of(this.base)}
        manifest = {**_manifest(this, image, started), **about, "engine": engine, **more}
        manifest = _prove(this, image, this.form.up_to(this.options.level), manifest, work)
        _commit(this, image, manifest)
    return manifest


def _commit(this: Bake, image: Path, manifest: Manifest) -> None:
    """Commit the image. An image that it replaces is in use until no process holds a lock on it."""
    waiting = "Another process uses the image that is replaced. Waiting for it."
    with ExitStack() as stack:
        if this.stored.exists():
            stack.enter_context(exclusive_lock(this.stored, lambda: note(this.monitor, waiting)))
        commit(image, this.stored, manifest)


def _keep_disk_on_failure(this: Bake, find: Callable[[], Path | None]) -> AbstractContextManager[None]:
    name = f"{this.plan.kind}-{this.plan.base}{this.form.suffix}"
    image = this.options.output or Path.cwd() / name
    return failed.keep_disk_on_failure(find, image, wanted=this.options.keep_failed)


def make_image(
    this: Bake, found: Obstacles, work: Path, *, search: bool = False
) -> tuple[Path, Engine, Manifest]:
    """Build the image in its format; return its path, the engine used, and more for the manifest.

    It is in `work`: not proven, and not in the store. With `search`, it was searched for secrets: no bake
    commits an image without this, and each level begins with it. Raises NotProven: there are some.
    """
    with _base(this, work):
        this.monitor.emit({"event": "stored", "id": this.plan.base_id})
        installed = Installed(this.monitor)
        made, engine = _make_disk(replace(this, monitor=installed), found, work)
        with formats.written(this.form, made.disk, this.plan, this.base, work, this.monitor) as image:
            more = {
                **fresh.recorded(this, installed),
                **_installed(this, installed),
                **reproducible.recorded(this, made),
            }
            if search:
                _search(this, made.disk if this.form.boots else image, work)
        made.disk.unlink()
        return image, engine, more


def _search(this: Bake, image: Path, work: Path) -> None:
    """Search a raw disk, or the archive of a container image, for secrets. Raises NotProven."""
    if problem := privileges.mount_obstacle():
        warn(this.monitor, f"The image was not searched for secrets: {problem}")
        return
    request = verification.Request(image, (), this.base.login, raw=this.form.boots)
    verification.prove(request, work, this.monitor)


def _installed(this: Bake, installed: Installed) -> Manifest:
    found = packages.of_rows(installed.rows(len(this.plan.steps)))
    return {"installed": packages.to_json(found)} if found else {}


def _make_disk(this: Bake, found: Obstacles, work: Path) -> tuple[Made, Engine]:
    """Apply the plan; return the disk and the engine used. The base is in the store."""
    disk = this.store.base(this.plan.base_id)
    engine, why = choice.choose(this.options.engine, _with_mount_obstacle(this, found, disk, work))
    if why:
        note(this.monitor, why)
    return _raw_disk(this, engine, disk, work), engine


def _raw_disk(this: Bake, engine: Engine, base: Path, work: Path) -> Made:
    plan, monitor, keep = this.plan, this.monitor, this.options.checkpoints
    store = fresh.usable(this) if fresh.asks(this) else this.store
    if engine == "chroot":
        awaited = this.options.awaited
        rewrite = this.form.boots  # a layer of a container is sorted by itself
        return chroot.bake(plan, store, _repositories(this), work, monitor, keep, awaited, rewrite=rewrite)
    from bakery.engines.packer import engine as packer

    accelerator = probe.choose(this.options.accelerator, base, work, monitor)
    keep = "all" if this.options.awaited else keep
    disk = packer.bake(plan, store, _repositories(this), accelerator, work, monitor, keep)
    return Made(disk, obstacle="the engine packer boots the image, and a running system writes to it")


def _with_mount_obstacle(this: Bake, found: Obstacles, disk: Path, work: Path) -> Obstacles:
    """Add to the obstacles that this kernel cannot mount the base.

    A base that was built on this machine can always be mounted.
    """
    if this.options.engine != "auto" or found.chroot or isinstance(this.base.source, Build):
        return found
    problem = probe.mount_problem(disk, work, this.monitor)
    return Obstacles(problem, choice.packer_obstacle(boots=this.form.boots) if problem else "")


def _base(this: Bake, work: Path) -> AbstractContextManager[None]:
    """Get the base into the store and keep it there while the block runs."""
    options, is_built = this.options, isinstance(this.base.source, Build)
    packages_from = package_mirror(options) if is_built else mirror.Mirror("", "")
    sources = base_image.SourceOptions(packages_from, options.base_urls, options.offline)
    return base_image.provide(
        this.base, this.store, sources, work, this.monitor, rebuild=options.rebuild_base
    )


def prepare(options: Options, folder: Path, store: Store, monitor: Monitor) -> Path:
    """Write everything that a separate `packer build` needs into a new folder.

    Returns the path of the variables file. Raises BadInput, and the errors of obtaining a base.
    """
    from bakery.engines.packer import build_files
    from bakery.engines.packer import engine as packer

    this = plan_bake(options, store, monitor)
    if not this.form.boots:
        raise BadInput("packer does not make container images.", "Omit --packer-files.")
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise BadInput(
            f"Cannot create {folder}: {error.strerror}.", "Specify a folder that does not exist."
        ) from None
    disk = store.base(this.plan.base_id)
    with work_folder(store) as work, _base(this, work):
        accelerator = probe.choose(options.accelerator, disk, work, monitor)
        with checkpoints.nearest(this.plan, store, monitor) as (done, found):
            start = found if done else packer.enlarged(found, this.plan, folder.resolve(), monitor)
            from_there, repositories = build_files.Start(start, done), _repositories(this)
            files = build_files.write(folder.resolve(), this.plan, from_there, repositories, accelerator)
    return files.variables


def _prove(this: Bake, image: Path, levels: Sequence[Level], manifest: Manifest, work: Path) -> Manifest:
    """Verify the image to these levels; return the manifest with the proof added. Raises NotProven."""
    if not levels:
        return manifest
    request = verification.Request(
        image,
        tuple(levels),
        this.base.login,
        accelerator=this.options.accelerator,
        firmware=this.base.firmware[0],
        tests=this.options.tests,
    )
    proof = verification.prove(request, work, this.monitor)
    return {**manifest, "proof": {**manifest["proof"], **proof}}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _manifest(this: Bake, image: Path, started: str) -> Manifest:
    plan = this.plan
    return {
        "format": 1,
        "id": plan.id,
        "base": plan.base,
        "kind": plan.kind,
        "version": __version__,
        "architecture": this.base.architecture,
        "base_source": "recipe" if isinstance(this.base.source, Build) else "image",
        "started": started,
        "made": _now(),
        "size": image.stat().st_size,
        "sha256": digest.of(image),
        "proof": {},
        "plan": plans.to_json(plan),
    }
