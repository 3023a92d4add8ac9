"""bake-image shell: a look into an image that failed, or any other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bakery.commands import shell


def main(argv: Sequence[str]) -> int:
    return shell.run(lambda: _main(_parser().parse_args(argv)), argv)


def _parser() -> argparse.ArgumentParser:
    parser = shell.Parser(
        prog="bake-image shell",
        description="A shell in the root directory of an image, as root. It works on a copy: what is"
        " changed is lost. Nothing is booted and there is no network.",
        allow_abbrev=False,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument(
        "command", nargs="*", metavar="COMMAND", help="after --: run this instead, end with its status"
    )
    return parser


def _main(options: argparse.Namespace) -> int:
    from bakery.engines.chroot.shell import run_on_copy
    from bakery.store.store import Store, default_root

    return run_on_copy(options.image.resolve(), options.command, Store(default_root()))
