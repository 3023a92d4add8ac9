"""`python -m tests.integration.bake.batch_command [--jobs N] [--json] LABEL=OPTIONS …`: several images.

OPTIONS are those of bake-image, with spaces between them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bakery.bake.options import Options
from bakery.commands import bake_batch, bake_options
from bakery.commands.command_line import entry


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1)
    for flag in ("--json", "--quiet", "--verbose"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("images", nargs="+")
    options = parser.parse_args(argv)
    return bake_batch.bake([item(text) for text in options.images], options)


def item(text: str) -> tuple[str, Options]:
    label, _, words = text.partition("=")
    return label, bake_options.options(bake_options.parser().parse_args(words.split()))


if __name__ == "__main__":
    sys.exit(entry.run(lambda: main(sys.argv[1:])))
