"""worker-bakery rebuild: bake an image again and compare the bytes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, completed

if TYPE_CHECKING:
    from bakery.bake.options import Options
    from bakery.rebuild.rebuild import Result

_SHOWN = 20  # differences, without --all


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery rebuild") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Bake an image again, from the plan, the base and the package versions in its manifest, and "
        "compare the bytes of both. The exit code is 0 if they are the same, 1 if not. The new image is "
        "removed.",
        usage="[options] IMAGE",
        examples=("%(prog)s worker.qcow2", "%(prog)s osg-debian13-706fd7a2f157 --json"),
    )
    image = made.add_argument(
        "image",
        metavar="IMAGE",
        help="path of an image with a manifest beside it, or its name in the cache",
    )
    completed(image, "file")
    made.add_argument("--mirror", metavar="URL", help="Debian mirror; it must have the same versions")
    sources = made.add_argument(
        "--apt-source",
        dest="apt_sources",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="APT source of optional roles, as for the bake; repeatable",
    )
    completed(sources, "file")
    made.add_argument(
        "--repository-url",
        dest="urls",
        action="append",
        default=[],
        metavar="ID=URL",
        help="mirror of the repository ID; repeatable",
    )
    made.add_argument("--offline", action="store_true", help="do not download the base")
    made.add_argument("--all", action="store_true", help="print all differences")
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    from bakery.freshness import images
    from bakery.rebuild.rebuild import rebuild
    from bakery.runtime import progress
    from bakery.store import store
    from provisioner.errors import BakeryError

    wanted, cache = _options(options), store.Store(store.default_root())
    image = images.path_of(options.image, cache)
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        result = rebuild(image, wanted, cache, monitor)
    if options.json:
        print(json.dumps({"image": str(image), **result.to_json()}))
    elif not options.quiet:
        _print(result, everything=options.all)
    if not result.reproduced:
        raise BakeryError(f"{image} was not reproduced: another bake gave other bytes.", _hint(result))
    return 0


def _options(options: argparse.Namespace) -> Options:
    """Where packages come from. Raises BadInput."""
    from bakery.bake.options import Options
    from bakery.image import repositories

    defaults = settings.load()
    mirror = (
        settings.checked("mirror", options.mirror, "--mirror") if options.mirror else defaults.mirror.value
    )
    return Options(
        mirror=mirror,
        apt_sources=tuple(options.apt_sources),
        replaced=repositories.parse_options(options.urls, [], keep=False),
        offline=options.offline,
    )


def _print(result: Result, *, everything: bool) -> None:
    from bakery.imagediff.report import line

    if result.reproduced:
        print(f"reproduced: sha256 {result.sha256}")
        return
    print(f"not reproduced: sha256 {result.sha256}\n                       {result.again}")
    found = result.differences if everything else result.differences[:_SHOWN]
    for one in found:
        print(f"  {line(one)}")
    if len(found) < len(result.differences):
        print(f"  … and {len(result.differences) - len(found)} more; --all shows them")
    for region in result.regions:
        print(f"  {region}")


def _hint(result: Result) -> str:
    if result.tools_then != result.tools_now:
        then, now = (
            ", ".join(f"{name} {version}" for name, version in sorted(tools.items()))
            for tools in (result.tools_then, result.tools_now)
        )
        return f"The image was made with other tools ({then}) than this machine has ({now})."
    if any(found.section == "packages" for found in result.differences):
        return "The packages differ. Name a mirror that has the same versions: --mirror URL."
    if result.differences:
        return "A step of the plan writes what depends on the time or on the machine."
    return "Only times or positions on the disk differ. Please report this with the manifest."


if __name__ == "__main__":
    sys.exit(main())
