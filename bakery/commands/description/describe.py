"""worker-bakery describe: show what an image is, what is in it and what was shown of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bakery.commands.command_line import columns, entry, settings, terminal
from bakery.commands.command_line.parser import Parser, add_general, completed

if TYPE_CHECKING:
    from bakery.description.read import Found
    from bakery.description.vulnerabilities import Vulnerability


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
            "%(prog)s worker.qcow2 --vulnerabilities all.zip",
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
    records = made.add_argument(
        "--vulnerabilities",
        type=Path,
        metavar="PATH",
        help="match the packages with OSV records (JSON, a folder or a zip archive of it); exit code 11 if "
        "there are any",
    )
    completed(records, "file")
    made.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="ID",
        help="ignore the vulnerability with this id or alias; repeatable",
    )
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    from bakery.description import files, overview, packages, read
    from bakery.runtime import progress
    from bakery.store import store
    from provisioner.events import warn

    settings.load()
    cache = store.Store(store.default_root())
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        found = read.image(options.image, cache, monitor)
        if gap := packages.gap(found.manifest):
            warn(monitor, gap)
        written = files.write(found.path, found.manifest, options.write) if options.write else ()
    about = {**overview.data(found), "written": [str(path) for path in written]}
    vulnerable = _vulnerabilities(options, found) if options.vulnerabilities else None
    if options.json:
        more = {} if vulnerable is None else {"vulnerabilities": [asdict(one) for one in vulnerable]}
        print(json.dumps({**about, **more}))
    elif not options.quiet:
        _print(about)
        _print_vulnerabilities(vulnerable)
    if vulnerable:
        _raise(vulnerable, options.image)
    return 0


def _vulnerabilities(options: argparse.Namespace, found: Found) -> tuple[Vulnerability, ...]:
    """Raises BadInput: the packages or the records are not known."""
    from bakery.description import packages, vulnerabilities
    from provisioner.errors import BadInput

    installed = packages.of_manifest(found.manifest)
    if installed is None:
        raise BadInput(f"The packages of {found.path} are not known.", "Bake the image again.")
    path, ignored = options.vulnerabilities, set(options.ignore)
    everything = vulnerabilities.find(installed, vulnerabilities.read(path), str(path))
    return tuple(one for one in everything if not {one.id, *one.aliases} & ignored)


def _print_vulnerabilities(found: Sequence[Vulnerability] | None) -> None:
    from bakery.description.overview import shown

    if found is None:
        return
    print()
    if not found:
        print("vulnerabilities: none")
        return
    header = ("vulnerability", "package", "installed", "fixed in", "urgency")
    rows = [
        tuple(shown(text or "-") for text in (one.id, one.package, one.installed, one.fixed, one.urgency))
        for one in found
    ]
    for line in columns.table([header, *rows], terminal.width(terminal.STDOUT)):
        print(line)


def _raise(found: Sequence[Vulnerability], image: str) -> NoReturn:
    from provisioner.errors import Vulnerable

    fixed = sum(1 for one in found if one.fixed)
    hint = "Bake the image again: --refresh auto." if fixed else "See --ignore."
    sys.stdout.flush()
    raise Vulnerable(f"{image} has {len(found)} known vulnerabilities; {fixed} are fixed by updates.", hint)


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
