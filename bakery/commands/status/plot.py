"""worker-bakery status plot: draw a record of status --record."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bakery.commands.command_line import entry
from bakery.commands.command_line.parser import Parser, completed
from bakery.commands.command_line.settings import Settings

SUMMARY = "draw a file of --record as SVG or PNG"
USAGE = "FILE -o OUT.svg|OUT.png [options]"
DESCRIPTION = (
    "Draw the file that --record wrote: busy and idle slots, running jobs, and workers that joined and "
    "left, over time (UTC). Times without an answer of the collector are gaps. Requires matplotlib: pip "
    "install 'worker-bakery[plot]'."
)
EXAMPLES = ("%(prog)s workers.jsonl -o workers.svg", "%(prog)s --json workers.jsonl -o workers.png")


def add_options(made: Parser) -> None:
    completed(made.add_argument("file", type=Path, metavar="FILE", help="file that --record wrote"), "file")
    output = made.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="picture to write; the suffix, .svg or .png, selects the format",
    )
    completed(output, "file")


def run(options: argparse.Namespace, _settings: Settings) -> int:
    from bakery.runtime import files
    from bakery.status import plot, record_file, timeline
    from provisioner.errors import BadInput

    format_name = plot.format_of(options.output)
    files.refuse_special(options.output)
    plot.require_matplotlib()
    entries, torn = record_file.read(options.file)
    if torn:
        entry.warn(record_file.torn_text(torn), as_json=options.json)
    found = timeline.timeline_of(entries)
    if not found:
        raise BadInput(f"{options.file} has no query.", "Use status --record FILE to record some.")
    titles = list(dict.fromkeys(one.of for one in entries))
    picture = plot.draw(found, " | ".join(titles), format_name)
    files.write_private(options.output, picture)
    _tell(options, len(entries))
    return 0


def _tell(options: argparse.Namespace, queries: int) -> None:
    if options.json:
        print(json.dumps({"path": str(options.output), "queries": queries}))
    else:
        print(options.output)
