"""worker-bakery publish: publish a verified image where clouds and people find it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, completed, positive_number

if TYPE_CHECKING:
    from bakery.publish.image import Image
    from bakery.publish.outcome import Outcome
    from bakery.publish.target import Bucket, Folder, Repository, Target
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
            "%(prog)s worker.qcow2 --to openstack:mycloud --name osg --keep 3",
            "%(prog)s osg.qcow2 --to s3://images --require-signature site.pub",
        ),
    )
    image = made.add_argument("image", metavar="IMAGE", help="path of an image, or its name in the cache")
    completed(image, "file")
    made.add_argument(
        "--to",
        required=True,
        metavar="TARGET",
        help="openstack:CLOUD (a cloud of clouds.yaml), file:///DIR or s3://BUCKET/PREFIX (a catalogue), "
        "or oci://REGISTRY/NAME[:TAG]",
    )
    made.add_argument("--name", default="", help="name of the published image (default: its IMAGE_ID)")
    made.add_argument(
        "--require-proof",
        choices=_LEVELS,
        metavar="LEVEL",
        help="refuse an image that was not verified to LEVEL: none, offline, boot, pool or clone "
        "(default: clone; offline for a container image)",
    )
    signature = made.add_argument(
        "--require-signature",
        type=Path,
        metavar="PUBKEY",
        help="refuse an image that is not signed with the key of this public key of minisign (default: "
        "accept unsigned images)",
    )
    completed(signature, "file")
    made.add_argument(
        "--keep",
        type=positive_number,
        metavar="N",
        help="remove all but the N newest images of this name (default: keep all)",
    )
    made.add_argument("--dry-run", action="store_true", help="print what would be done; change nothing")
    made.add_argument(
        "--endpoint-url",
        default="",
        metavar="URL",
        help="URL of the S3 server (default: AWS_ENDPOINT_URL, or AWS)",
    )
    _add_openstack(made)
    add_general(made)
    return made


def _add_openstack(made: Parser) -> None:
    group = made.add_argument_group("OpenStack")
    group.add_argument(
        "--visibility",
        choices=["private", "shared", "community", "public"],
        help="who sees the image (default: private)",
    )
    group.add_argument(
        "--share",
        dest="projects",
        action="append",
        default=[],
        metavar="PROJECT",
        help="share the image with the project of this id; requires --visibility shared; repeatable",
    )
    group.add_argument(
        "--previous",
        choices=["hide", "rename"],
        help="hide the previous image of this name, or rename it to NAME-previous (default: hide)",
    )


def _main(options: argparse.Namespace) -> int:
    from bakery.description import packages
    from bakery.publish import image as images
    from bakery.publish import target as targets
    from bakery.runtime import progress
    from bakery.store import store
    from provisioner.events import warn

    settings.load()
    target = targets.parse(options.to)
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        cache, key = store.Store(store.default_root()), options.require_signature
        image = images.find(options.image, cache, options.name, monitor, key)
        images.require_proof(image, options.require_proof or images.default_level(image))
        if gap := packages.gap(image.manifest):
            warn(monitor, gap)
        outcome = _publish(image, target, options, monitor)
    _print(outcome, options)
    return 0


def _publish(image: Image, target: Target, options: argparse.Namespace, monitor: Monitor) -> Outcome:
    from bakery.publish import image as images
    from bakery.publish import target as targets

    _refuse_options_of_others(target, options)
    if isinstance(target, targets.Cloud):
        return _in_glance(image, target.name, options, monitor)
    images.require_file_name(image)
    if isinstance(target, targets.Repository):
        return _in_registry(image, target, options, monitor)
    return _in_catalogue(image, target, options, monitor)


def _refuse_options_of_others(target: Target, options: argparse.Namespace) -> None:
    """Raise BadInput for an option that the target does not have."""
    from bakery.publish import target as targets
    from provisioner.errors import BadInput

    of_openstack = ("visibility", "previous", "projects")
    given = [name for name in of_openstack if getattr(options, name)]
    if given and not isinstance(target, targets.Cloud):
        name = "share" if given[0] == "projects" else given[0]
        raise BadInput(f"--{name} is for --to openstack:CLOUD.", "Remove it.")
    if options.endpoint_url and not isinstance(target, targets.Bucket):
        raise BadInput("--endpoint-url is for --to s3://BUCKET.", "Remove it.")


def _in_catalogue(
    image: Image, target: Folder | Bucket, options: argparse.Namespace, monitor: Monitor
) -> Outcome:
    from bakery.publish import target as targets
    from bakery.publish.catalogue import folder, publish, s3
    from bakery.publish.catalogue.storage import Storage

    storage: Storage
    if isinstance(target, targets.Folder):
        storage = folder.Folder(target.path, monitor)
    else:
        storage = s3.connected(target.name, target.prefix, options.endpoint_url, monitor)
    return publish.publish(
        image, storage, options.to, keep=options.keep, dry_run=options.dry_run, monitor=monitor
    )


def _in_registry(
    image: Image, target: Repository, options: argparse.Namespace, monitor: Monitor
) -> Outcome:
    from bakery.publish.registry import publish
    from bakery.store import store

    return publish.publish(
        image,
        target,
        options.to,
        store.Store(store.default_root()),
        keep=options.keep,
        dry_run=options.dry_run,
        monitor=monitor,
    )


def _in_glance(image: Image, cloud: str, options: argparse.Namespace, monitor: Monitor) -> Outcome:
    from bakery.publish.glance import publish

    wanted = publish.Options(
        visibility=options.visibility or "private",
        projects=tuple(options.projects),
        previous=options.previous or "hide",
        keep=options.keep,
        dry_run=options.dry_run,
    )
    return publish.publish(image, cloud, wanted, options.to, monitor)


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
