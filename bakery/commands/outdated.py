"""worker-bakery outdated: list the packages of images for which their repositories have updates."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line import columns, entry, settings, terminal
from bakery.commands.command_line.parser import Parser, add_general, completed

if TYPE_CHECKING:
    from bakery.freshness.images import Image
    from bakery.freshness.metadata.addresses import Addresses
    from bakery.freshness.question import Answer
    from bakery.sources.http import Get
    from bakery.store.store import Store
    from provisioner.events import Monitor

_HEADER = ("package", "installed", "available", "security")


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery outdated") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "List the packages of images for which their package repositories have updates. The exit code is "
        "10 if there are any, 0 if not, and 5 if a repository does not answer.",
        usage="[options] [IMAGE ...]",
        examples=("%(prog)s", "%(prog)s worker.qcow2", "%(prog)s --json || echo 'bake again'"),
    )
    images = made.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="path of an image, or its name in the cache (default: all images of the cache)",
    )
    completed(images, "file")
    made.add_argument("--mirror", metavar="URL", help="Debian mirror to ask")
    made.add_argument(
        "--repository-url",
        dest="urls",
        action="append",
        default=[],
        metavar="ID=URL",
        help="ask this mirror of repository ID; repeatable",
    )
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    from bakery.freshness import images
    from bakery.runtime import progress
    from bakery.sources import http
    from bakery.store import store

    defaults = settings.load()
    addresses, cache = _addresses(options, defaults), store.Store(store.default_root())
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        found = [images.named(name, cache, addresses, monitor) for name in options.images]
        found = found if options.images else images.of_store(cache)
        get = http.remembering()
        answers = [(image, _ask(image, cache, addresses, monitor, get)) for image in found]
    if options.json:
        print(json.dumps({"images": [_row(image, answer) for image, answer in answers]}))
    elif not options.quiet:
        for image, answer in answers:
            _print(image, answer)
    _raise(answers)
    return 0


def _addresses(options: argparse.Namespace, defaults: settings.Settings) -> Addresses:
    from bakery.freshness.metadata.addresses import Addresses
    from bakery.image import repositories

    mirror = (
        settings.checked("mirror", options.mirror, "--mirror") if options.mirror else defaults.mirror.value
    )
    return Addresses(mirror, repositories.parse_options(options.urls, [], keep=False).urls)


def _ask(image: Image, cache: Store, addresses: Addresses, monitor: Monitor, get: Get) -> Answer | None:
    """Ask the repositories of an image; None if its packages are unknown. Each failure is a warning."""
    from bakery.freshness import question
    from provisioner.events import warn

    if image.lock is None:
        warn(monitor, f"Whether {image.disk.stem} has updates is unknown: it has no lock. Bake it again.")
        return None
    answer = question.ask_about(image.lock, image.disk, image.manifest, cache, addresses, get)
    for name, error in sorted((answer.failed or {}).items()):
        warn(monitor, f"Cannot ask the repository {name} of {image.disk.stem}. {error}")
    return answer


def _state(answer: Answer | None) -> str:
    if answer is None:
        return "unknown"
    if answer.updates:
        return "outdated"
    return "not asked" if answer.failed else "current"


def _print(image: Image, answer: Answer | None) -> None:
    from bakery.freshness.age import age

    baked = f", baked {age(image.manifest)}" if "made" in image.manifest else ""
    print(f"{image.disk.stem}: {_state(answer)}{baked}")
    if answer and answer.updates:
        rows = [
            (one.name, one.installed, one.available, "yes" if one.security else "")
            for one in answer.updates
        ]
        for line in columns.table([_HEADER, *rows], terminal.width(terminal.STDOUT)):
            print(line)


def _row(image: Image, answer: Answer | None) -> dict[str, Any]:
    from dataclasses import asdict

    updates = answer.updates if answer else ()
    return {
        "image": image.disk.stem,
        "path": str(image.disk),
        "made": image.manifest.get("made"),
        "state": _state(answer),
        "updates": [asdict(update) for update in updates],
        "failed": {name: str(error) for name, error in ((answer and answer.failed) or {}).items()},
    }


def _raise(answers: list[tuple[Image, Answer | None]]) -> None:
    """Raise Outdated if an image has updates; otherwise Unreachable if a repository did not answer."""
    from provisioner.errors import Outdated, Unreachable

    outdated = [image.disk.stem for image, answer in answers if answer and answer.updates]
    if outdated:
        raise Outdated(f"Packages of {', '.join(outdated)} have updates.", "Bake again: --refresh auto.")
    if any(answer and answer.failed for _, answer in answers):
        raise Unreachable(
            "Not all repositories answered.", "See the warnings; --mirror names another mirror."
        )


if __name__ == "__main__":
    sys.exit(main())
