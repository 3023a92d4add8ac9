"""worker-bakery cache: list or remove what bakes keep."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line import columns, entry, settings, terminal
from bakery.commands.command_line.parser import Parser, add_general, add_help, add_verbs, number

if TYPE_CHECKING:
    from bakery.store.retention import Entry, Policy
    from bakery.store.store import Store

_INDENT = 11  # of the lines after the first: the column of the name
_DIGEST = re.compile("[0-9a-f]{64,}")  # sha256 or sha512


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery cache") -> int:
    return entry.run(lambda: _main(parser(prog).parse_args(argv)), argv)


def _main(options: argparse.Namespace) -> int:
    from bakery.store import store

    settings.load()
    kept = store.Store(store.default_root())
    return _list(options, kept) if options.verb == "list" else _prune(options, kept)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "List or remove what bakes keep: base images, checkpoints, images, downloads and logs. "
        "WORKER_BAKERY_CACHE sets the folder (default: ~/.cache/worker-bakery), WORKER_BAKERY_CACHE_LIMIT "
        "the size in GiB within which bakes keep it (default: 50).",
        usage="COMMAND [options]",
        examples=("%(prog)s list", "%(prog)s prune --older-than 30 --dry-run", "%(prog)s prune --all"),
    )
    verbs = add_verbs(made, prog)
    _add_list(
        verbs.add_parser(
            "list",
            help="list the contents",
            description="List the contents.",
            examples=("%(prog)s", "%(prog)s --verify --json"),
        )
    )
    _add_prune(
        verbs.add_parser(
            "prune",
            help="remove some of the contents",
            description="Remove what no bake can use any more and, with options, what was not used lately.",
            examples=("%(prog)s --dry-run", "%(prog)s --older-than 30 --max-size 20", "%(prog)s --all"),
        )
    )
    add_help(made.add_argument_group("general options"), prog)
    return made


def _add_list(made: Parser) -> None:
    made.add_argument("--verify", action="store_true", help="read all files and compare their digests")
    add_general(made)


def _add_prune(made: Parser) -> None:
    made.add_argument(
        "--older-than", type=number, metavar="DAYS", help="remove what was not used for this long"
    )
    made.add_argument(
        "--max-size", type=number, metavar="GIB", help="remove the least recently used beyond this size"
    )
    made.add_argument("--all", action="store_true", help="remove everything that is not in use")
    made.add_argument("--dry-run", action="store_true", help="print what would be removed; change nothing")
    add_general(made)


# --- list --------------------------------------------------------------------------------------


def _list(options: argparse.Namespace, kept: Store) -> int:
    from bakery.store import retention

    found = retention.entries(kept)
    damaged = {entry.path for entry in found if options.verify and retention.is_damaged(entry)}
    if options.json:
        rows = [
            _row(entry) | ({"damaged": entry.path in damaged} if options.verify else {}) for entry in found
        ]
        print(json.dumps({"path": str(kept.root), "size": _total(found), "entries": rows}))
        return 0
    print(
        f"{kept.root}: {_gib(_total(found))} GiB, limit of bakes {retention.limit() / retention.GIB:g} GiB"
    )
    _print_lines(found, damaged)
    return 0


def _print_lines(entries: Sequence[Entry], damaged: Collection[Path] = ()) -> None:
    now, width = time.time(), terminal.width(terminal.STDOUT)
    for one in entries:
        line = _line(one, now) + (", DAMAGED" if one.path in damaged else "")
        print(columns.wrapped(line, width, _INDENT))


def _row(entry: Entry) -> dict[str, Any]:
    return {**dataclasses.asdict(entry), "path": str(entry.path)}


def _line(entry: Entry, now: float) -> str:
    """Kind, name, GiB, time since it was made and last used, and what it depends on."""
    name = _DIGEST.sub(lambda found: found[0][:12], entry.name)
    ages = f"made {_age(now - entry.made)} ago, used {_age(now - entry.used)} ago"
    more = [entry.title] if entry.title else []
    if entry.kind == "checkpoint":
        more.append(f"over base {entry.of[:12]}")
    if entry.in_use:
        more.append("in use")
    if entry.useless:
        more.append("no longer usable")
    return f"{entry.kind:<10} {name:<26} {_gib(entry.size):>6} GiB, {ages}" + "".join(
        f", {text}" for text in more
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f}"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _total(entries: Sequence[Entry]) -> int:
    return sum(entry.size for entry in entries)


# --- prune -------------------------------------------------------------------------------------


def _prune(options: argparse.Namespace, kept: Store) -> int:
    from bakery.store import retention

    found = retention.entries(kept)
    gone = retention.select(found, _policy(options), time.time())
    if not options.dry_run:
        gone = [entry for entry in gone if retention.remove(entry)]
    if options.json:
        rows = [_row(entry) for entry in gone]
        print(json.dumps({"removed": rows, "size": _total(gone), "dry_run": options.dry_run}))
        return 0
    _print_lines(gone)
    if not options.quiet:
        verb = "would be freed" if options.dry_run else "freed"
        left = _total(found) - _total(gone)
        print(f"{_gib(_total(gone))} GiB {verb}, {_gib(left)} GiB left", file=sys.stderr)
    return 0


def _policy(options: argparse.Namespace) -> Policy:
    from bakery.store.retention import DAY, GIB, Policy

    days, size = options.older_than, options.max_size
    return Policy(
        older_than=None if days is None else days * DAY,
        max_size=None if size is None else size * GIB,
        everything=options.all,
    )


if __name__ == "__main__":
    sys.exit(main())
