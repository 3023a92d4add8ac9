"""worker-bakery bases: list the base images; in a checkout, update their pins."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bakery.commands.command_line import columns, entry, terminal
from bakery.commands.command_line.parser import Parser, add_general, completed

if TYPE_CHECKING:
    from bakery.image.bases import Base

_HEADER = ("name", "for", "until", "disk", "boots by", "HTCondor", "tested")


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery bases") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "List the base images: their architectures, end of life, file system, firmware and HTCondor "
        "series, and what was tested.",
        usage="[options] [NAME ...]",
        examples=("%(prog)s", "%(prog)s --json rocky9", "worker-bakery bake --base rocky9 --dry-run"),
    )
    names = made.add_argument("names", nargs="*", metavar="NAME", help="only these bases (default: all)")
    completed(names, "bases")
    made.add_argument(
        "--update",
        action="store_true",
        help="pin the newest images of the vendors; rewrites packer/bases in a checkout of the sources",
    )
    add_general(made)
    return made


def _main(options: argparse.Namespace) -> int:
    return _update(options) if options.update else print_bases(options.names, as_json=options.json)


def _update(options: argparse.Namespace) -> int:
    """The exit code of the last base that could not be updated; 0 if there is none."""
    from bakery.runtime import data
    from bakery.sources import pins
    from provisioner.errors import BadInput, Unreachable, WrongChecksum

    if not (data.ROOT / "pyproject.toml").is_file():
        raise BadInput("An installed package is not updated.", "Use --update in a checkout of the sources.")
    status, changed = 0, []
    for path in pins.paths(options.names):
        try:
            rows = list(pins.update(path))
        except (Unreachable, BadInput, WrongChecksum) as error:
            entry.warn(f"{path.stem}: {error}", as_json=options.json)
            status = error.exit_code
            continue
        changed += rows
        for row in rows if not options.json else ():
            print(row, flush=True)
    if options.json:
        print(json.dumps({"changed": changed}))
    return status


def print_bases(names: Sequence[str] = (), *, as_json: bool) -> int:
    """Those of these names, or all."""
    from bakery.image import bases

    shown = [bases.find(name) for name in names] or list(bases.known())
    if as_json:
        print(json.dumps([_row(base) for base in shown]))
        return 0
    rows = [_HEADER, *(_cells(base) for base in shown)]
    for line in columns.table(rows, terminal.width(terminal.STDOUT)):
        print(line)
    return 0


def _cells(base: Base) -> tuple[str, ...]:
    from bakery.image.bases import DEFAULT

    ended = " (ended)" if base.has_ended(datetime.date.today()) else ""
    return (
        base.name + (" (default)" if base.name == DEFAULT else ""),
        ", ".join(base.architectures),
        base.end_of_life + ended,
        base.file_system,
        ", ".join(base.firmware),
        base.htcondor,
        base.proof or "not stated",
    )


def _row(base: Base) -> dict[str, object]:
    from bakery.image.bases import DEFAULT, VendorImage

    image = base.source if isinstance(base.source, VendorImage) else None
    return {
        "name": base.name,
        "title": base.title,
        "default": base.name == DEFAULT,
        "family": base.family,
        "architecture": base.architecture,
        "architectures": base.architectures,
        "end_of_life": base.end_of_life,
        "ended": base.has_ended(datetime.date.today()),
        "successor": base.successor,
        "login": base.login,
        "firmware": base.firmware,
        "file_system": base.file_system,
        "htcondor": base.htcondor,
        "tested": base.tested,
        "proof": base.proof,
        "url": image and image.url,
        "digest": image and f"{image.algorithm}:{image.digest}",
    }


if __name__ == "__main__":
    sys.exit(main())
