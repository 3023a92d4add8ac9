"""worker-bakery describe: show what an image is, what is in it and what was shown of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bakery.commands.command_line import columns, entry, settings, terminal
from bakery.commands.command_line.parser import Parser, add_general, completed


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery describe") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Show what an image is: its base, its packages, the verification levels that it passed, and its "
        "age. The image is compared with the digest in its manifest.",
        usage="[options] IMAGE",
        examples=(
            "%(prog)s worker.qcow2",
            "%(prog)s worker.qcow2 --write .",
            "%(prog)s --json worker.qcow2 | jq .packages.count",
        ),
    )
    image = made.add_argument("image", metavar="IMAGE", help="path of an image, or its name in the cache")
    completed(image, "file")
    folder = made.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write the description to DIR: manifest, SBOM (CycloneDX and SPDX), SHA256SUMS",
    )
    completed(folder, "directory")
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    from bakery.description import files, overview, read
    from bakery.runtime import progress
    from bakery.store import store

    settings.load()
    cache = store.Store(store.default_root())
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        found = read.image(options.image, cache, monitor)
        written = files.write(found.path, found.manifest, options.write) if options.write else ()
    about = {**overview.data(found), "written": [str(path) for path in written]}
    if options.json:
        print(json.dumps(about))
    elif not options.quiet:
        _print(about)
    return 0


def _print(about: dict[str, object]) -> None:
    from bakery.commands.command_line import proof_table
    from bakery.description import overview

    width = terminal.width(terminal.STDOUT)
    for line in overview.lines(about):
        print(columns.wrapped(line, width, 16))
    proof = about["proof"]
    assert isinstance(proof, dict)
    if proof:
        print()
        for line in proof_table.lines(proof, width or 100):
            print(line)
    written = about["written"]
    assert isinstance(written, list)
    for path in written:
        print(path)


if __name__ == "__main__":
    sys.exit(main())
