"""bake-image: a base turned into a worker image that has been shown to work."""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands import shell

if TYPE_CHECKING:
    from bakery.bake.options import LocalBase, Options
    from bakery.bake.planned import Baked
    from bakery.image.bases import Base
    from bakery.output.formats import Level
    from provisioner.plan import Plan
    from provisioner.roles import CvmfsClient


# Those of recipe.ROLES, here because --help imports nothing.
_KINDS = ("osg", "prominence")
# The optional roles of recipe.OPTIONAL, here because --help imports nothing.
_OPTIONAL = {
    "nvidia": "NVIDIA's driver (el8, el9, debian; declared, not tried)",
    "apptainer": "containers for jobs, without set-user-ID",
    "cvmfs": "CVMFS's client, for the repositories of --cvmfs-repositories",
    "udocker": "containers for jobs, without any privilege",
    "ospool": "what OSPool jobs ask for; with apptainer and cvmfs where the base has them",
}


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    if given[:1] == ["cache"]:
        from bakery.commands import cache

        return cache.main(given[1:])
    if given[:1] == ["shell"]:
        from bakery.commands import image_shell

        return image_shell.main(given[1:])
    return shell.run(lambda: _main(given), given)


def _main(argv: Sequence[str]) -> int:
    options = _parser().parse_args(argv)
    if options.list_bases:
        return _list_bases(options)
    if options.list_roles:
        return _list_roles(options)
    if options.explain:
        return _explain(options)
    if options.dry_run:
        return _dry_run(options)
    if options.packer_files:
        return _packer_files(options)
    return _bake(options)


def _parser() -> argparse.ArgumentParser:
    parser = shell.parser("bake-image", "Bake an HTCondor worker image and show that it works.")
    _add_bases(parser)
    parser.add_argument(
        "--worker", default="osg", choices=list(_KINDS), help="kind of worker (%(default)s)"
    )
    forms = ["qcow2", "oci"]
    parser.add_argument(
        "--format", default="qcow2", choices=forms, help="a disk, or a container image (%(default)s)"
    )
    _add_roles(parser)
    _add_repositories(parser)
    _add_work(parser)
    _add_instead(parser)
    parser.verbs = ("cache", "shell")
    parser.epilog = (
        "bake-image cache list|prune shows and removes what is kept, bake-image shell IMAGE opens a shell"
        " in an image; each has --help."
    )
    return parser


def _add_work(parser: argparse.ArgumentParser) -> None:
    """How the image is made and proven."""
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="where the image goes")
    levels = ["none", "offline", "boot", "pool"]
    parser.add_argument(
        "--verify", choices=levels, help="how far to prove it (boot; of a container image, offline)"
    )
    engines = ["auto", "chroot", "packer"]
    parser.add_argument(
        "--engine",
        default="auto",
        choices=engines,
        help="what bakes; auto: chroot where it can, else packer",
    )
    parser.add_argument("--accel", default="auto", choices=["auto", "kvm", "tcg"], help="for booting it")
    parser.add_argument(
        "--checkpoints",
        default="auto",
        choices=["auto", "all", "none"],
        help="after which roles to keep the disk as it is then; auto: where it saves time",
    )
    parser.add_argument(
        "--mirror", default="", metavar="URL", help="Debian mirror instead of this machine's"
    )
    parser.add_argument("--keep-failed", action="store_true", help="keep the disk of a bake that failed")
    parser.add_argument("--rebuild-base", action="store_true", help="make the base and the image anew")


def _add_instead(parser: argparse.ArgumentParser) -> None:
    """What is done instead of a bake."""
    parser.add_argument("--dry-run", action="store_true", help="print the plan and touch nothing")
    parser.add_argument(
        "--explain", action="store_true", help="say what is cached and what changed, and touch nothing"
    )
    parser.add_argument(
        "--packer-files",
        type=Path,
        metavar="DIR",
        help="write what packer needs to bake by itself",
    )


def _add_bases(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the base")
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--base",
        default="debian13",
        metavar="NAME",
        help="base to start from, or its TOML file (%(default)s)",
    )
    which.add_argument("--base-image", type=Path, metavar="FILE", help="a disk image of your own instead")
    which.add_argument("--list-bases", action="store_true", help="print the bases and end")
    group.add_argument("--arch", default="", metavar="NAME", help="x86_64 or aarch64 (this machine's)")
    group.add_argument(
        "--family", default="", metavar="NAME", help="of --base-image: debian, ubuntu, el7 …"
    )
    group.add_argument("--sha256", default="", metavar="HEX", help="that --base-image must have")
    group.add_argument("--login", default="", metavar="USER", help="whom --base-image lets in by ssh")
    group.add_argument(
        "--base-url",
        dest="base_urls",
        action="append",
        default=[],
        metavar="URL",
        help="where else the base can be had; a folder, if it ends in /; repeatable, tried in this order",
    )
    group.add_argument("--offline", action="store_true", help="get no base that the cache does not have")
    group.add_argument(
        "--forbid-eol", action="store_true", help="refuse a base that has reached its end of life"
    )


def _add_roles(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("optional roles")
    group.add_argument(
        "--with",
        dest="optional",
        action="append",
        default=[],
        choices=list(_OPTIONAL),
        help="what the image has besides; repeatable",
    )
    group.add_argument(
        "--apt-source",
        dest="apt_sources",
        action="append",
        default=[],
        type=Path,
        metavar="FILE.sources",
        help="deb822 of a repository lent to these roles, for packages that the base's does not have",
    )
    group.add_argument(
        "--pelican",
        type=Path,
        metavar="FILE",
        help="Pelican's client for ospool: its program, .tar.gz or .deb, where no repository has it",
    )
    group.add_argument("--list-roles", action="store_true", help="print these roles and end")
    group.add_argument("--cvmfs-repositories", metavar="A,B", help="to be mounted under /cvmfs")
    group.add_argument("--cvmfs-proxy", metavar="URLS", help="as CVMFS_HTTP_PROXY takes them")
    group.add_argument("--cvmfs-quota", type=int, metavar="MB", help="size of its cache (4000)")


def _add_repositories(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("package repositories")
    for option, form, text in (
        (
            "--repository-url",
            "ID=URL",
            "a mirror lent to the bake instead of repository ID's hosts; repeatable",
        ),
        (
            "--repository-key",
            "ID=FILE",
            "armored key that ID's packages are signed with instead; repeatable",
        ),
    ):
        name = f"{option[2:].replace('-', '_')}s"
        group.add_argument(option, dest=name, action="append", default=[], metavar=form, help=text)
    group.add_argument(
        "--keep-repository-urls", action="store_true", help="write these URLs into the image, and its id"
    )


def _bake(options: argparse.Namespace) -> int:
    from bakery.bake import lookup
    from bakery.runtime import progress
    from bakery.store import store

    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        baked = lookup.bake(_options(options), store.Store(store.default_root()), monitor)
    if options.json:
        print(json.dumps(_result(baked)))
        return 0
    print(baked.path)
    if not options.quiet:
        _show_proof(baked)
    return 0


def _packer_files(options: argparse.Namespace) -> int:
    from bakery.bake import build
    from bakery.runtime import data, progress
    from bakery.store import store

    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        cache = store.Store(store.default_root())
        variables = build.prepare(_options(options), options.packer_files, cache, monitor)
    template = data.PACKER / "worker.pkr.hcl"
    if options.json:
        print(json.dumps({"variables": str(variables), "template": str(template)}))
    else:
        print(f"packer build -var-file={shlex.quote(str(variables))} {shlex.quote(str(template))}")
    return 0


def _options(options: argparse.Namespace) -> Options:
    from bakery.bake.options import Options
    from bakery.image import bases, repositories

    return Options(
        base=options.base,
        kind=options.worker,
        output=options.output,
        format=options.format,
        level=options.verify or _highest(options.format),
        mirror=options.mirror,
        keep_failed=options.keep_failed,
        rebuild_base=options.rebuild_base,
        accelerator=options.accel,
        engine=options.engine,
        checkpoints=options.checkpoints,
        optional=tuple(options.optional),
        cvmfs=_cvmfs(options),
        apt_sources=tuple(options.apt_sources),
        pelican=options.pelican,
        architecture=_checked("--arch", bases.architecture_named, options.arch),
        base_image=_base_image(options),
        base_urls=tuple(_checked("--base-url", bases.checked_url, url) for url in options.base_urls),
        offline=options.offline,
        forbid_eol=options.forbid_eol,
        replaced=repositories.parse_options(
            options.repository_urls, options.repository_keys, keep=options.keep_repository_urls
        ),
    )


def _checked(option: str, parse: Callable[[str], str], text: str) -> str:
    from provisioner.errors import BadInput

    try:
        return parse(text) if text else ""
    except ValueError as error:
        raise BadInput(f"{option}: {error}.") from None


def _base_image(options: argparse.Namespace) -> LocalBase | None:
    from bakery.bake.options import LocalBase
    from provisioner.errors import BadInput

    about = {name: getattr(options, name) for name in ("family", "sha256", "login")}
    if options.base_image is None:
        for name in (name for name, value in about.items() if value):
            raise BadInput(f"--{name} is for a --base-image.", "A base that has a name brings its own.")
        return None
    if not options.family:
        raise BadInput(
            "--base-image needs --family.", "Say what system it holds: --family el9, for example."
        )
    return LocalBase(options.base_image, **about)


def _highest(form: str) -> Level:
    """How far an image is proven unless told otherwise."""
    return "boot" if form == "qcow2" else "offline"


def _cvmfs(options: argparse.Namespace) -> CvmfsClient:
    from bakery.image import cvmfs

    given = {"repositories": options.cvmfs_repositories, "proxy": options.cvmfs_proxy}
    roles = frozenset(options.optional)
    return cvmfs.client(roles, **given, quota=options.cvmfs_quota)


def _result(baked: Baked) -> dict[str, object]:
    shown = {key: baked.manifest[key] for key in ("id", "base", "kind", "size", "sha256", "made", "proof")}
    return {"path": str(baked.path), "from_store": baked.from_store, **shown}


def _show_proof(baked: Baked) -> None:
    from bakery.commands.proof import print_proof

    source = "from the store" if baked.from_store else "baked"
    size = baked.manifest["size"] / 2**20
    print(f"{source}, {size:.0f} MiB, id {baked.manifest['id'][:12]}", file=sys.stderr)
    print_proof(baked.manifest["proof"])


def _dry_run(options: argparse.Namespace) -> int:
    from provisioner import plan

    planned = _planned(options)
    if options.json:
        print(json.dumps(plan.to_json(planned), indent=1))
    else:
        _print_plan(planned)
    return 0


def _planned(options: argparse.Namespace) -> Plan:
    """Of a base that gets no updates any more, that is said."""
    from bakery.bake.options import make_plan
    from bakery.image import bases

    base, planned = make_plan(_options(options))
    ended = bases.warning(base, datetime.date.today())
    if ended:
        shell.warn(ended, as_json=options.json)
    return planned


def _explain(options: argparse.Namespace) -> int:
    from bakery.store import store
    from bakery.store.explain import explain, to_json, to_text

    found = explain(_planned(options), store.Store(store.default_root()))
    if options.json:
        print(json.dumps(to_json(found), indent=1))
    else:
        print("\n".join(to_text(found)))
    return 0


def _print_plan(planned: Plan) -> None:
    from provisioner.actions import Put, Run
    from provisioner.process.scrub import shown

    print(f"{planned.kind} worker on {planned.base}, id {planned.id[:12]}")
    for step in planned.steps:
        print(f"\n{step.id[:12]}  {step.role}: {step.title}")
        for action in step.actions:
            match action:
                case Run(argv):
                    print(f"    run {_first_line(shown(argv))}")
                case Put(path, data, mode):
                    print(f"    put {path} {mode:04o} {len(data)} bytes")


def _first_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first} … ({rest.count(chr(10)) + 1} more lines)" if rest else first


def _list_bases(options: argparse.Namespace) -> int:
    from bakery.image import bases

    known = bases.known()
    if options.json:
        print(json.dumps([_base_row(base) for base in known]))
        return 0
    rows = [_HEADER, *(_cells(base) for base in known)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


_HEADER = ("name", "for", "until", "disk", "boots by", "HTCondor", "tested")


def _cells(base: Base) -> tuple[str, ...]:
    from bakery.image.bases import DEFAULT

    ended = " (ended)" if base.has_ended(datetime.date.today()) else ""
    return (
        base.name + (" (default)" if base.name == DEFAULT else ""),
        ", ".join(base.architectures),
        base.end_of_life + ended,
        base.file_system,
        ", ".join(base.firmware),
        base.htcondor,
        base.proof if base.tested else "no: declared only",
    )


def _list_roles(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps([{"name": name, "title": title} for name, title in _OPTIONAL.items()]))
        return 0
    for name, title in _OPTIONAL.items():
        print(f"{name:<12} {title}")
    return 0


def _base_row(base: Base) -> dict[str, object]:
    from bakery.image.bases import DEFAULT, VendorImage

    image = base.source if isinstance(base.source, VendorImage) else None
    return {
        "name": base.name,
        "title": base.title,
        "default": base.name == DEFAULT,
        "family": base.family,
        "architecture": base.architecture,
        "architectures": base.architectures,
        "end_of_life": base.end_of_life,
        "ended": base.has_ended(datetime.date.today()),
        "successor": base.successor,
        "login": base.login,
        "firmware": base.firmware,
        "file_system": base.file_system,
        "htcondor": base.htcondor,
        "tested": base.tested,
        "proof": base.proof,
        "url": image and image.url,
        "digest": image and f"{image.algorithm}:{image.digest}",
    }


if __name__ == "__main__":
    sys.exit(main())
