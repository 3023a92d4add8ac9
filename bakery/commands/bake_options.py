"""The options of bake: the parser, and the command line as bakery.bake.options.Options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line.parser import (
    Parser,
    add_general,
    completed,
    positive_number,
    whole_number,
)
from bakery.commands.command_line.settings import NO_SETTINGS, REFRESH, Settings, checked
from bakery.commands.description import key
from bakery.commands.submit import options as submit_options

if TYPE_CHECKING:
    from bakery.bake.options import LocalBase, Options
    from bakery.output.formats import Level
    from bakery.runtime.mirror import Snapshot
    from provisioner.roles import CvmfsClient

# The names of recipe.ROLES and recipe.OPTIONAL; importing recipe would slow down --help.
KINDS = ("osg", "prominence")
ROLES = {
    "nvidia": "NVIDIA driver (el8, el9, debian; not tested)",
    "apptainer": "containers for jobs, without set-user-ID programs",
    "cvmfs": "CVMFS client, for the repositories of --cvmfs-repositories",
    "udocker": "containers for jobs, without privileges",
    "ospool": "what OSPool jobs require; with apptainer and cvmfs where the base has them",
}
_EXAMPLES = (
    "%(prog)s --base rocky9 -o worker.qcow2",
    "%(prog)s worker.toml --verify pool",
    "%(prog)s --worker prominence --format oci -o worker.tar",
)


def parser(prog: str = "bake-image", settings: Settings = NO_SETTINGS) -> Parser:
    made = Parser(
        prog,
        "Bake an HTCondor worker image from a base image, verify it, and print its path. "
        "An image that is already in the cache and verified is baked again only if its packages have "
        "updates.",
        usage="[FILE.toml ...] [options]",
        examples=_EXAMPLES,
    )
    _add_definitions(made)
    _add_main(made)
    _add_main_result(made, settings)
    _add_base(made)
    _add_roles(made)
    _add_repositories(made)
    _add_updates(made, settings)
    _add_work(made)
    signature = made.add_argument_group("signature")
    key.add_options(signature, "--sign", "sign the image and its description with this key of minisign")
    submit_options.add_options(made)
    add_general(made)
    return made


def _add_definitions(made: Parser) -> None:
    files = made.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE.toml",
        help="definition files, which replace the options about the image",
    )
    completed(files, "toml")


def _add_main(made: Parser) -> None:
    """With those of _add_main_result, the ten options that people need first."""
    which = made.add_mutually_exclusive_group()
    base = which.add_argument(
        "--base",
        default="debian13",
        metavar="NAME",
        help="base image, or the path of its TOML file (default: %(default)s)",
    )
    completed(base, "bases")
    made.add_argument(
        "--worker", default="osg", choices=list(KINDS), help="kind of worker (default: %(default)s)"
    )
    made.add_argument(
        "--with",
        dest="optional",
        action="append",
        default=[],
        choices=list(ROLES),
        help="add an optional role; repeatable",
    )
    made.add_argument(
        "--format",
        default="qcow2",
        choices=["qcow2", "raw", "vmdk", "vhd", "gce", "oci"],
        help="disk image, or oci: container image (default: %(default)s)",
    )
    which.add_argument("--list-bases", action="store_true", help="list the base images and exit")
    which.add_argument("--base-image", type=Path, metavar="FILE", help=argparse.SUPPRESS)


def _add_main_result(made: Parser, settings: Settings) -> None:
    output = made.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="write the image to PATH, its manifest and SHA256SUMS beside it (default: the cache)",
    )
    completed(output, "file")
    made.add_argument(
        "--verify",
        choices=["none", "offline", "boot", "pool", "clone"],
        help="verification level (default: boot; offline with --format oci)",
    )
    made.add_argument(
        "--mirror",
        metavar="URL",
        help=f"Debian mirror ({settings.mirror.shown('that of the APT sources of this machine')})",
    )
    made.add_argument("--dry-run", action="store_true", help="print the plan; change nothing")
    made.add_argument(
        "--explain",
        action="store_true",
        help="print which steps are cached and what changed since the last bake; change nothing",
    )


def _add_base(made: Parser) -> None:
    group = made.add_argument_group("base image")
    _move(made, "--base-image", group, "use a disk image of your own; requires --family", "file")
    architecture = group.add_argument(
        "--arch", default="", metavar="NAME", help="x86_64 or aarch64 (default: this machine's)"
    )
    completed(architecture, "x86_64|aarch64")
    family = group.add_argument(
        "--family", default="", metavar="NAME", help="system in --base-image: debian, ubuntu, el9"
    )
    completed(family, "families")
    group.add_argument("--sha256", default="", metavar="HEX", help="expected digest of --base-image")
    group.add_argument(
        "--login", default="", metavar="USER", help="user of --base-image who can log in over ssh"
    )
    group.add_argument(
        "--base-url",
        dest="base_urls",
        action="append",
        default=[],
        metavar="URL",
        help="download the base image from URL; a URL that ends in / is a folder; repeatable",
    )
    group.add_argument("--offline", action="store_true", help="use only a base image that is cached")
    group.add_argument(
        "--forbid-eol", action="store_true", help="fail if the base has reached its end of life"
    )


def _add_roles(made: Parser) -> None:
    group = made.add_argument_group("optional roles (--with)")
    group.add_argument("--list-roles", action="store_true", help="list the optional roles and exit")
    sources = group.add_argument(
        "--apt-source",
        dest="apt_sources",
        action="append",
        default=[],
        type=Path,
        metavar="FILE.sources",
        help="APT source (deb822) that is used during the bake for the packages of these roles; repeatable",
    )
    completed(sources, "file")
    pelican = group.add_argument(
        "--pelican",
        type=Path,
        metavar="FILE",
        help="Pelican client for the role ospool: the program, a .tar.gz or a .deb",
    )
    completed(pelican, "file")
    group.add_argument("--cvmfs-repositories", metavar="A,B", help="repositories to mount below /cvmfs")
    group.add_argument("--cvmfs-proxy", metavar="URLS", help="value of CVMFS_HTTP_PROXY")
    group.add_argument(
        "--cvmfs-quota", type=whole_number, metavar="MB", help="size of the CVMFS cache (default: 4000)"
    )


def _add_repositories(made: Parser) -> None:
    group = made.add_argument_group("package repositories")
    urls = "use this mirror of repository ID during the bake; repeatable"
    keys = "armored public key of that mirror's packages; repeatable"
    for option, form, text in (("--repository-url", "ID=URL", urls), ("--repository-key", "ID=FILE", keys)):
        name = f"{option[2:].replace('-', '_')}s"
        group.add_argument(option, dest=name, action="append", default=[], metavar=form, help=text)
    group.add_argument(
        "--keep-repository-urls",
        action="store_true",
        help="also write these URLs into the image; this changes its id",
    )


def _add_updates(made: Parser, settings: Settings) -> None:
    group = made.add_argument_group("updates of packages")
    group.add_argument(
        "--refresh",
        choices=list(REFRESH),
        default=settings.refresh.value or "auto",
        help="whether an image of the cache is baked again: auto asks its package repositories for updates "
        f"({settings.refresh.shown('auto')})",
    )
    lock = group.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        help="install exactly the package versions in FILE; if it does not exist, write those of the bake",
    )
    completed(lock, "file")
    group.add_argument(
        "--snapshot", metavar="DATE", help="install Debian's packages as they were at DATE (2025-11-01)"
    )
    group.add_argument(
        "--snapshot-mirror",
        metavar="URL",
        help="mirror for --snapshot, with {archive} and {timestamp} in its path "
        f"({settings.snapshot_mirror.shown('none')})",
    )


def _add_work(made: Parser) -> None:
    group = made.add_argument_group("building and testing")
    group.add_argument(
        "--engine",
        default="auto",
        choices=["auto", "chroot", "packer"],
        help="build engine; auto uses chroot where possible (default: %(default)s)",
    )
    group.add_argument(
        "--accel",
        default="auto",
        choices=["auto", "kvm", "tcg"],
        help="accelerator of virtual machines (default: %(default)s)",
    )
    group.add_argument(
        "--checkpoints",
        default="auto",
        choices=["auto", "all", "none"],
        help="roles after which the disk is saved; auto: where it saves time (default: %(default)s)",
    )
    group.add_argument(
        "--jobs",
        type=positive_number,
        default=1,
        metavar="N",
        help="bake up to N images at once, if there are several (default: %(default)s)",
    )
    group.add_argument(
        "--list-seal",
        action="store_true",
        help="list what is removed from every image at the end, and exit",
    )
    group.add_argument(
        "--compat",
        action="store_true",
        help="write a qcow2 that old clouds can read (QEMU before 5.1): zlib instead of zstd",
    )
    group.add_argument("--keep-failed", action="store_true", help="keep the disk of a failed bake")
    group.add_argument("--rebuild-base", action="store_true", help="rebuild the base and the image")
    group.add_argument(
        "--print-definition",
        action="store_true",
        help="print the definition file for these options; do not bake",
    )
    group.add_argument(
        "--print-schema", action="store_true", help="print the JSON schema of definition files and exit"
    )
    folder = group.add_argument(
        "--packer-files",
        type=Path,
        metavar="DIR",
        help="write the input files of packer to DIR; do not bake",
    )
    completed(folder, "directory")


def _move(made: Parser, flag: str, group: argparse._ArgumentGroup, text: str, values: str) -> None:
    """Show an option in a group of --help that is not that of the options it excludes."""
    action = made._option_string_actions[flag]
    made._optionals._group_actions.remove(action)
    group._group_actions.append(action)
    action.help = text
    completed(action, values)


# --- the options of bakery -----------------------------------------------------------------------


def options(found: argparse.Namespace, settings: Settings = NO_SETTINGS) -> Options:
    """Raises BadInput for options that contradict each other."""
    from bakery.bake.options import Options
    from bakery.image import bases, repositories

    wanted = Options(
        base=found.base,
        kind=found.worker,
        output=found.output,
        format=found.format,
        compat=found.compat,
        level=found.verify or highest_level(found.format),
        optional=tuple(dict.fromkeys(found.optional)),
        cvmfs=_cvmfs(found),
        apt_sources=tuple(found.apt_sources),
        pelican=found.pelican,
        architecture=_checked("--arch", bases.architecture_named, found.arch),
        base_image=_base_image(found),
        replaced=repositories.parse_options(
            found.repository_urls, found.repository_keys, keep=found.keep_repository_urls
        ),
    )
    return on_build_host(wanted, found, settings)


def on_build_host(wanted: Options, found: argparse.Namespace, settings: Settings) -> Options:
    """The options of an image with those that belong to the build host. Raises BadInput."""
    from dataclasses import replace

    from bakery.image import bases

    return replace(
        wanted,
        mirror=settings.mirror.value if found.mirror is None else _mirror(found.mirror),
        keep_failed=found.keep_failed,
        rebuild_base=found.rebuild_base,
        accelerator=found.accel,
        engine=found.engine,
        checkpoints=found.checkpoints,
        base_urls=tuple(_checked("--base-url", bases.checked_url, url) for url in found.base_urls),
        offline=found.offline,
        forbid_eol=found.forbid_eol,
        refresh=found.refresh,
        lock=found.lock,
        snapshot=_snapshot(found, settings),
    )


def _mirror(url: str) -> str:
    """The value of --mirror; "" for the mirror of this machine. Raises BadInput as for the key `mirror`."""
    return checked("mirror", url, "--mirror") if url else ""


def _snapshot(found: argparse.Namespace, settings: Settings) -> Snapshot | None:
    from bakery.runtime import mirror
    from provisioner.errors import BadInput

    if found.snapshot is None:
        if found.snapshot_mirror:
            raise BadInput("--snapshot-mirror requires --snapshot.", "Add --snapshot DATE.")
        return None
    given = found.snapshot_mirror
    template = checked("snapshot-mirror", given, "--snapshot-mirror") if given else ""
    return mirror.snapshot(found.snapshot, template or settings.snapshot_mirror.value)


def highest_level(form: str) -> Level:
    """The default verification level of a format."""
    return "offline" if form == "oci" else "boot"


def _checked(option: str, parse: Callable[[str], str], text: str) -> str:
    from provisioner.errors import BadInput

    try:
        return parse(text) if text else ""
    except ValueError as error:
        raise BadInput(f"{option}: {error}.") from None


def _base_image(found: argparse.Namespace) -> LocalBase | None:
    from bakery.bake.options import LocalBase
    from provisioner.errors import BadInput

    about = {name: getattr(found, name) for name in ("family", "sha256", "login")}
    if found.base_image is None:
        for name in (name for name, value in about.items() if value):
            raise BadInput(f"--{name} requires --base-image.", "The other bases define it themselves.")
        return None
    if not found.family:
        raise BadInput("--base-image requires --family.", "Name the system in the image: --family el9.")
    return LocalBase(found.base_image, **about)


def _cvmfs(found: argparse.Namespace) -> CvmfsClient:
    from bakery.image import cvmfs

    given = {"repositories": found.cvmfs_repositories, "proxy": found.cvmfs_proxy}
    return cvmfs.client(frozenset(found.optional), **given, quota=found.cvmfs_quota)
