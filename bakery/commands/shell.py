"""worker-bakery shell: open a shell in a copy of an image."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bakery.commands.command_line import entry, settings
from bakery.commands.command_line.parser import Parser, add_help, completed


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery shell") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Open a shell as root in the root directory of an image, for example to inspect a failed bake. "
        "The shell works on a copy: changes are lost. Nothing is booted, and there is no network. "
        "The exit code is that of the shell or command.",
        usage="[options] IMAGE [-- COMMAND ...]",
        examples=("%(prog)s worker.qcow2", "%(prog)s worker.failed.qcow2 -- dpkg --audit"),
    )
    image = made.add_argument("image", type=Path, metavar="IMAGE", help="disk image")
    completed(image, "file")
    made.add_argument(
        "command", nargs="*", metavar="COMMAND", help="run COMMAND instead of a shell; write -- before it"
    )
    add_help(made.add_argument_group("general options"), prog)
    return made


def _main(options: argparse.Namespace) -> int:
    from bakery.engines.chroot.shell import run_on_copy
    from bakery.store.store import Store, default_root

    settings.load()
    return run_on_copy(options.image.resolve(), options.command, Store(default_root()))


if __name__ == "__main__":
    sys.exit(main())
