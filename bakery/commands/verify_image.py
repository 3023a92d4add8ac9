"""verify-image: climb the ladder of proof with an image that exists already."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bakery.commands import shell


def main(argv: Sequence[str] | None = None) -> int:
    return shell.run(lambda: _main(_parser().parse_args(argv)), argv)


def _parser() -> argparse.ArgumentParser:
    parser = shell.parser("verify-image", "Show that a worker image boots, joins a pool and leaves again.")
    parser.add_argument("image", type=Path, metavar="IMAGE")
    levels = ["offline", "boot", "pool"]
    parser.add_argument("--level", default="pool", choices=levels, help="how far to go (%(default)s)")
    parser.add_argument("--firmware", default="bios", choices=["bios", "efi"], help="(%(default)s)")
    parser.add_argument("--login", default="debian", help="the image's first user (%(default)s)")
    parser.add_argument("--accel", default="auto", choices=["auto", "kvm", "tcg"])
    parser.add_argument(
        "--boot-seconds",
        type=int,
        default=120,
        metavar="N",
        help="until ssh answers, with KVM; five times that without (%(default)s)",
    )
    parser.add_argument(
        "--idle-seconds",
        type=int,
        default=20,
        metavar="N",
        help="the IdleTimeout that the worker is told of in the end (%(default)s)",
    )
    parser.add_argument(
        "--machine",
        default="vm",
        choices=["vm", "namespace"],
        help="vm: the proof that counts; namespace: a quick one, without boot loader, kernel, disk and"
        " network card (%(default)s)",
    )
    parser.add_argument(
        "--pool-shape",
        default="plain",
        choices=["plain", "ospool"],
        help="the throw-away pool: one central manager, or as the OSPool is; then the first of two central"
        " managers is stopped while a job runs (%(default)s)",
    )
    return parser


def _main(options: argparse.Namespace) -> int:
    from bakery.commands.proof import print_proof
    from bakery.runtime import progress
    from bakery.store import store
    from bakery.verify.verification import Request, up_to, verify

    request = Request(
        options.image.resolve(),
        up_to(options.level),
        options.login,
        accelerator=options.accel,
        firmware=options.firmware,
        boot_seconds=options.boot_seconds,
        idle_seconds=options.idle_seconds,
        machine=options.machine,
        pool_shape=options.pool_shape,
    )
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        proof = verify(request, store.Store(store.default_root()), monitor)
    if options.json:
        print(json.dumps({"image": str(options.image), "proof": proof}))
    elif not options.quiet:
        print_proof(proof)
    return 0


if __name__ == "__main__":
    sys.exit(main())
