"""worker-bakery sign: write and sign the description of an image."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, completed
from bakery.commands.description import key


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery sign") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Write the description of an image beside it (manifest, SBOM, provenance, SHA256SUMS) and sign it "
        "with a key of minisign. worker-bakery verify --signature, and minisign with sha256sum, check it.",
        usage="[options] IMAGE --key FILE",
        examples=(
            "%(prog)s worker.qcow2 --key minisign.key",
            "%(prog)s worker.qcow2 --key site.key --passphrase-file FILE",
        ),
    )
    image = made.add_argument("image", metavar="IMAGE", help="path of an image, or its name in the cache")
    completed(image, "file")
    key.add_options(made, "--key", "secret key of minisign", required=True)
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    from bakery.description import packages, signature
    from bakery.freshness import images
    from bakery.runtime import progress
    from bakery.store import store
    from provisioner.events import warn

    settings.load()
    path = images.path_of(options.image, store.Store(store.default_root()))
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        if gap := packages.gap(store.image_manifest(path) or {}):
            warn(monitor, gap)
        written = signature.sign(path, key.read(options.key, options.passphrase_file))
    if options.json:
        print(json.dumps({"image": str(path), "written": [str(one) for one in written]}))
    elif not options.quiet:
        for one in written:
            print(one)
    return 0


if __name__ == "__main__":
    sys.exit(main())
