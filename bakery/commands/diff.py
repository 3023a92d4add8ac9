"""worker-bakery diff: compare the contents of two worker images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_general, completed


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery diff") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Compare the contents of two worker images: files, packages, systemd units, users and groups. "
        "The exit code is 0 if only volatile contents differ (logs, caches, timestamps), 8 otherwise; "
        "with --sizes it is 0.",
        usage="[options] A B",
        examples=("%(prog)s old.qcow2 new.qcow2", "%(prog)s --sizes old.qcow2 new.qcow2"),
    )
    for name in ("a", "b"):
        image = made.add_argument(name, type=Path, metavar=name.upper(), help="image or root directory")
        completed(image, "file")
    made.add_argument(
        "--all", action="store_true", help="also show volatile differences; with --sizes all rows"
    )
    made.add_argument(
        "--sizes", action="store_true", help="show what grew from A to B, by package and directory"
    )
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    settings.load()
    return _sizes(options) if options.sizes else _differences(options)


def _sizes(options: argparse.Namespace) -> int:
    from bakery.imagediff import report, sandboxed
    from bakery.runtime import progress
    from bakery.store import store

    a, b = options.a.resolve(), options.b.resolve()
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        found = sandboxed.compare_sizes(a, b, store.Store(store.default_root()), monitor)
    if options.json:
        print(json.dumps({"a": str(options.a), "b": str(options.b), **found.to_json()}))
    else:
        report.print_growth(found, everything=options.all)
    return 0


def _differences(options: argparse.Namespace) -> int:
    from bakery.imagediff import report, sandboxed
    from bakery.runtime import progress
    from bakery.store import store
    from provisioner.errors import Different

    a, b = options.a.resolve(), options.b.resolve()
    with progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet) as monitor:
        result = sandboxed.compare(a, b, store.Store(store.default_root()), monitor)
    if options.json:
        print(json.dumps({"a": str(options.a), "b": str(options.b), **result.to_json()}))
    elif not options.quiet:
        report.print_result(result, everything=options.all)
    found = len(result.unexplained)
    if found:
        raise Different(f"{options.a} and {options.b} differ: nothing explains {found} of the differences.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
