"""image-diff: whether two worker images hold the same, and if not, what differs."""

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
    parser = shell.parser(
        "image-diff",
        "Compare what two worker images hold: files, packages, units, users and groups. "
        "Ends with 0 if nothing but volatile things differs, with 8 if there is more.",
    )
    for name in ("a", "b"):
        parser.add_argument(name, type=Path, metavar=name.upper(), help="an image, or a root directory")
    parser.add_argument("--all", action="store_true", help="show every difference, the volatile ones too")
    return parser


def _main(options: argparse.Namespace) -> int:
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
