"""worker-bakery publish: publish a verified image where clouds and people find it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, completed, positive_number

if TYPE_CHECKING:
    from bakery.publish.image import Image
    from bakery.publish.outcome import Outcome
    from bakery.publish.target import Target
    from provisioner.events import Monitor

_LEVELS = ("none", "offline", "boot", "pool", "clone")


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery publish") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Publish a verified image. Content that is there already is not uploaded again. After an "
        "interruption, run the same command again.",
        usage="[options] IMAGE --to TARGET",
        examples=(
            "%(prog)s osg-debian13-54cedd6f75a5 --to file:///srv/images",
            "%(prog)s w.qcow2 --to file:///srv/images --name osg --keep 3",
        ),
    )
    image = made.add_argument("image", metavar="IMAGE", help="path of an image, or its name in the cache")
    completed(image, "file")
    made.add_argument("--to", required=True, metavar="TARGET", help="file:///DIR: a catalogue in a folder")
    made.add_argument("--name", default="", help="name of the published image (default: KIND-BASE)")
    made.add_argument(
        "--require-proof",
        choices=_LEVELS,
        metavar="LEVEL",
        help="refuse an image that was not verified to LEVEL: none, offline, boot, pool or clone "
        "(default: clone; offline for a container image)",
    )
    made.add_argument(
        "--keep",
        type=positive_number,
        metavar="N",
        help="remove all but the N newest images of this name (default: keep all)",
    )
    made.add_argument("--dry-run", action="store_true", help="print what would be done; change nothing")
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    from bakery.publish import image as images
    from bakery.publish import target as targets
    from bakery.runtime import progress
    from bakery.store import store

    settings.load()
    target = targets.parse(options.to)
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        image = images.find(options.image, store.Store(store.default_root()), options.name, monitor)
        images.require_proof(image, options.require_proof or images.default_level(image))
        outcome = _publish(image, target, options, monitor)
    _print(outcome, options)
    return 0


def _publish(image: Image, target: Target, options: argparse.Namespace, monitor: Monitor) -> Outcome:
    from bakery.publish import target as targets
    from bakery.publish.catalogue import folder
    from bakery.publish.catalogue import publish as catalogue
    from provisioner.errors import BadInput

    match target:
        case targets.Folder(path):
            return catalogue.publish(
                image,
                folder.Folder(path, monitor),
                options.to,
                keep=options.keep,
                dry_run=options.dry_run,
                monitor=monitor,
            )
    raise BadInput(f"--to {options.to} is not supported yet.")


def _print(outcome: Outcome, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(outcome.to_json()))
        return
    if outcome.dry_run:
        print("\n".join(outcome.actions) or "nothing to do")
        return
    print(outcome.location)
    if not options.quiet:
        for line in _summary(outcome):
            print(line, file=sys.stderr)


def _summary(outcome: Outcome) -> list[str]:
    how = "uploaded" if outcome.uploaded else "its content was there already; nothing was uploaded"
    lines = [f"{outcome.name} {outcome.version}: {how}"]
    lines += [f"removed: {', '.join(outcome.retired)}"] if outcome.retired else []
    lines += [f"kept, in use by servers: {', '.join(outcome.in_use)}"] if outcome.in_use else []
    return lines


if __name__ == "__main__":
    sys.exit(main())
