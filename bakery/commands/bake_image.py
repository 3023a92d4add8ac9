"""bake-image: a base turned into a worker image that has been shown to work."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands import shell

if TYPE_CHECKING:
    from bakery.bake import Baked, Options
    from bakery.bases import Base
    from provisioner.plan import Plan
    from provisioner.roles import CvmfsClient


# The optional roles of recipe.OPTIONAL, here because --help imports nothing.
_OPTIONAL = {
    "nvidia": "NVIDIA's driver (el8, el9, debian; declared, not tried)",
    "apptainer": "containers for jobs, without set-user-ID",
    "cvmfs": "CVMFS's client, for the repositories of --cvmfs-repositories",
}


def main(argv: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    if given[:1] == ["cache"]:
        from bakery.commands import cache

        return cache.main(given[1:])
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
    return _bake(options)


def _parser() -> argparse.ArgumentParser:
    parser = shell.parser("bake-image", "Bake an HTCondor worker image and show that it works.")
    parser.add_argument(
        "--base", default="debian13", metavar="NAME", help="base to start from (%(default)s)"
    )
    parser.add_argument("--worker", default="osg", choices=["osg"], help="kind of worker (%(default)s)")
    _add_roles(parser)
    _add_repositories(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="PATH", help="where the image goes")
    levels = ["none", "offline", "boot", "pool"]
    parser.add_argument(
        "--verify", default="boot", choices=levels, help="how far to prove it (%(default)s)"
    )
    parser.add_argument("--accel", default="auto", choices=["auto", "kvm", "tcg"], help="for booting it")
    parser.add_argument(
        "--mirror", default="", metavar="URL", help="Debian mirror instead of this machine's"
    )
    parser.add_argument("--keep-failed", action="store_true", help="keep an image that failed verification")
    parser.add_argument("--rebuild-base", action="store_true", help="make the base and the image anew")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and touch nothing")
    parser.add_argument(
        "--explain", action="store_true", help="say what is cached and what changed, and touch nothing"
    )
    parser.add_argument("--list-bases", action="store_true", help="print the bases and end")
    parser.epilog = "bake-image cache list|prune shows and removes what is kept; each has --help."
    return parser


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
    from bakery import bake, reports, store

    with reports.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        baked = bake.bake(_options(options), store.Store(store.default_root()), monitor)
    if options.json:
        print(json.dumps(_result(baked)))
        return 0
    print(baked.path)
    if not options.quiet:
        _show_proof(baked)
    return 0


def _options(options: argparse.Namespace) -> Options:
    from bakery import repositories
    from bakery.bake import Options

    return Options(
        base=options.base,
        kind=options.worker,
        output=options.output,
        level=options.verify,
        mirror=options.mirror,
        keep_failed=options.keep_failed,
        rebuild_base=options.rebuild_base,
        accelerator=options.accel,
        optional=tuple(options.optional),
        cvmfs=_cvmfs(options),
        apt_sources=tuple(options.apt_sources),
        replaced=repositories.given(
            options.repository_urls, options.repository_keys, keep=options.keep_repository_urls
        ),
    )


def _cvmfs(options: argparse.Namespace) -> CvmfsClient:
    from bakery import cvmfs

    given = {"repositories": options.cvmfs_repositories, "proxy": options.cvmfs_proxy}
    return cvmfs.client("cvmfs" in options.optional, **given, quota=options.cvmfs_quota)


def _result(baked: Baked) -> dict[str, object]:
    shown = {key: baked.manifest[key] for key in ("id", "base", "kind", "size", "sha256", "made", "proof")}
    return {"path": str(baked.path), "from_store": baked.from_store, **shown}


def _show_proof(baked: Baked) -> None:
    from bakery.verify.table import print_proof

    source = "from the store" if baked.from_store else "baked"
    size = baked.manifest["size"] / 2**20
    print(f"{source}, {size:.0f} MiB, id {baked.manifest['id'][:12]}", file=sys.stderr)
    print_proof(baked.manifest["proof"])


def _dry_run(options: argparse.Namespace) -> int:
    from bakery import bake
    from provisioner import plan

    _, planned = bake.make_plan(_options(options))
    if options.json:
        print(json.dumps(plan.to_json(planned), indent=1))
    else:
        _print_plan(planned)
    return 0


def _explain(options: argparse.Namespace) -> int:
    from bakery import bake, store
    from bakery.explain import explain, to_json, to_text

    _, planned = bake.make_plan(_options(options))
    found = explain(planned, store.Store(store.default_root()))
    if options.json:
        print(json.dumps(to_json(found), indent=1))
    else:
        print("\n".join(to_text(found)))
    return 0


def _print_plan(planned: Plan) -> None:
    from provisioner.actions import Put, Run
    from provisioner.run import shown

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
    from bakery import bases

    known = bases.known()
    if options.json:
        print(json.dumps([_base_row(base) for base in known]))
        return 0
    for base in known:
        row = _base_row(base)
        print(f"{row['name']:<12} {row['title']}; until {row['end_of_life']}; {row['tested']}")
    return 0


def _list_roles(options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps([{"name": name, "title": title} for name, title in _OPTIONAL.items()]))
        return 0
    for name, title in _OPTIONAL.items():
        print(f"{name:<12} {title}")
    return 0


def _base_row(base: Base) -> dict[str, str]:
    from bakery.bases import DEFAULT

    name = base.name
    tested = "tested here" if base.tested else "declared, not tested here"
    default = " (default)" if name == DEFAULT else ""
    return {
        "name": name,
        "title": base.title + default,
        "family": base.family,
        "architecture": base.architecture,
        "end_of_life": base.end_of_life,
        "tested": tested,
    }


if __name__ == "__main__":
    sys.exit(main())
