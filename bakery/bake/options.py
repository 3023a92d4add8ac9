"""The options of a bake, and the plan made from them."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.image import bases, recipe
from bakery.image.bases import Base, VendorImage
from bakery.image.mkosi import Build
from bakery.image.repositories import NOTHING, Replaced
from bakery.output import formats
from bakery.output.formats import FORMATS
from bakery.runtime import mirror
from bakery.runtime.mirror import Mirror, Snapshot
from provisioner.actions import Action, Put, Run
from provisioner.checkpoints import Policy
from provisioner.errors import BadInput
from provisioner.plan import Plan
from provisioner.process.scrub import has_secret
from provisioner.roles import NO_CVMFS, CvmfsClient, Pelican
from provisioner.roles.customization import NO_CUSTOMIZATION, Customization

if TYPE_CHECKING:
    from bakery.engines import choice
    from bakery.freshness import refresh
    from provisioner.roles.locked import Locked


OUTPUT_FOLDER = "WORKER_BAKERY_OUTPUT"  # a variable: the folder for images without --output


@dataclass(frozen=True)
class LocalBase:
    """A disk image supplied by the user. Empty fields have defaults, see bakery.image.bases.local."""

    path: Path
    family: str
    sha256: str = ""
    login: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `bake`, with their defaults; docs/reference/commands/bake.md describes them."""

    base: str = bases.DEFAULT
    kind: str = "osg"
    format: formats.Name = "qcow2"
    output: Path | None = None
    compat: bool = False  # a qcow2 that QEMU before 5.1 can read
    level: formats.Level = "boot"
    mirror: str = ""
    keep_failed: bool = False
    rebuild_base: bool = False  # and the image
    rebuild_image: bool = False  # bake it even if the store has it
    accelerator: str = "auto"
    engine: choice.Option = "auto"
    checkpoints: Policy = "auto"
    optional: tuple[str, ...] = ()  # roles, by name
    cvmfs: CvmfsClient = NO_CVMFS
    apt_sources: tuple[Path, ...] = ()
    pelican: Path | None = None  # for the role ospool
    architecture: str = ""  # of the base; this machine's by default
    base_image: LocalBase | None = None  # used instead of `base`
    base_urls: tuple[str, ...] = ()
    offline: bool = False
    forbid_eol: bool = False
    replaced: Replaced = NOTHING
    customization: Customization = NO_CUSTOMIZATION  # of a definition file
    refresh: refresh.Policy = "auto"  # whether repositories are asked for updates of what the store has
    lock: Path | None = None  # exact versions: replayed if the file exists, otherwise written
    snapshot: Snapshot | None = None  # used instead of `mirror`
    awaited: tuple[int, ...] = ()  # numbers of steps after which other bakes wait for a checkpoint
    just_made: str = ""  # the id of a checkpoint that needs no question for updates
    tests: tuple[Path, ...] = ()  # testinfra files of the site, run at each verification level


def check(options: Options) -> None:
    """Raises BadInput for options that contradict each other, and for files that cannot be used.

    The plan does not depend on these options; make_plan checks those on which it depends.
    """
    form = FORMATS[options.format]
    if options.level not in form.levels:
        hint = f"Choose --verify {' or '.join(form.levels)}."
        raise BadInput(f"The format {form.name} does not support --verify {options.level}.", hint)
    _check_output(options, form)
    if options.apt_sources and not options.optional:
        raise BadInput("--apt-source requires an optional role.", "Add --with ROLE.")
    if options.offline and options.rebuild_base:
        raise BadInput("--rebuild-base and --offline cannot be used together.", "Omit one of them.")
    apt_sources(options)
    if options.tests:
        from bakery.verify import site_tests

        site_tests.check(options.tests)


def _check_output(options: Options, form: formats.Format) -> None:
    """Raise BadInput when the image cannot be written as wanted."""
    if options.compat and form.name != "qcow2":
        raise BadInput(f"--compat is for qcow2; the format is {form.name}.", "Omit one of them.")
    if options.output:
        formats.check_output(form, options.output)
    elif not os.environ.get(OUTPUT_FOLDER) and (options.compat or not form.is_stored):
        what = "--compat" if options.compat else f"The format {form.name}"
        raise BadInput(f"{what} requires -o: the cache keeps disks as qcow2 with zstd.", "Add -o FILE.")


def replays(options: Options) -> bool:
    """Whether the bake installs the versions of a lock."""
    return options.lock is not None and options.lock.exists()


def package_mirror(options: Options) -> Mirror:
    """The Debian mirror of this bake. Raises BadInput."""
    return options.snapshot.mirror() if options.snapshot else mirror.find(options.mirror)


def _locked(options: Options, base: Base) -> Locked | None:
    if options.lock is None:
        return None
    from bakery.freshness import replay

    if not options.lock.exists():
        replay.check_writable(options.lock)
        return None
    return replay.read(options.lock, "rpm" if base.family.startswith("el") else "apt")


def apt_sources(options: Options) -> str:
    """The APT sources of --apt-source, deb822. Raises BadInput."""
    if not options.apt_sources:
        return ""
    from bakery.image import apt_source

    return apt_source.read(options.apt_sources)


def make_plan(options: Options) -> tuple[Base, Plan]:
    """Resolve the base and make the plan. Raises BadInput."""
    base, client, replaced = base_of(options), options.cvmfs, options.replaced
    boots, roles = FORMATS[options.format].boots, options.optional
    pelican = _pelican(options, base)
    plan = recipe.plan(
        base,
        options.kind,
        optional=roles,
        client=client,
        replaced=replaced,
        boots=boots,
        pelican=pelican,
        customization=options.customization,
        locked=_locked(options, base),
        snapshot=options.snapshot.timestamp if options.snapshot else "",
    )
    refuse_tokens(plan)
    return base, plan


def _pelican(options: Options, base: Base) -> Pelican | None:
    if options.pelican is None:
        return None
    if "ospool" not in options.optional:
        raise BadInput("--pelican requires the role ospool.", "Add --with ospool.")
    from bakery.image import pelican

    return pelican.read(options.pelican, base.family)


def refuse_tokens(plan: Plan) -> None:
    """Raises BadInput if an action of the plan contains a token: images must not contain secrets."""
    for step in plan.steps:
        for action in step.actions:
            what, text = _description_and_text(action)
            if has_secret(text):
                raise BadInput(
                    f"{what} contains a token, and images must not contain secrets.",
                    "Pass the token to the worker in its user-data instead.",
                )


def _description_and_text(action: Action) -> tuple[str, str]:
    """A description of the action for messages, and its complete text."""
    match action:
        case Run(argv):
            return f"A command of {argv[0]}", "\n".join(argv)
        case Put(path, data):
            return path, data.decode("utf-8", "replace")


def _of_snapshot(base: Base, snapshot: Snapshot) -> Base:
    """The base, built from the packages of the snapshot if it is built. Raises BadInput."""
    if base.family != "debian":
        raise BadInput(f"--snapshot applies to Debian only; {base.name} is not.", "Use --lock FILE.")
    if isinstance(base.source, Build):
        return replace(base, source=replace(base.source, snapshot=snapshot.timestamp))
    return base


def base_named(name: str, architecture: str = "") -> Base:
    """Return a base by name, by the path of its TOML file or, as URL#NAME, of a catalogue.

    Raises BadInput, Unreachable.
    """
    if "://" not in name:
        return bases.find(name, architecture)
    from bakery.catalogue import base as catalogue

    return catalogue.find(name, architecture)


def base_of(options: Options) -> Base:
    """Resolve the base. Raises BadInput."""
    own = options.base_image
    if own is None:
        base = base_named(options.base, options.architecture)
    else:
        base = bases.local(own.path, own.family, own.sha256, own.login, options.architecture)
    if options.snapshot:
        base = _of_snapshot(base, options.snapshot)
    if options.base_urls and not isinstance(base.source, VendorImage):
        raise BadInput(f"--base-url applies to vendor images only; {base.name} is not one.")
    ended = bases.warning(base, datetime.date.today())
    if ended and options.forbid_eol:
        raise BadInput(ended, "Choose another base, or omit --forbid-eol.")
    return base
