"""bake-image cache: what is kept between bakes, and how to have less of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bakery.commands import shell

if TYPE_CHECKING:
    from bakery.store.retention import Entry, Policy
    from bakery.store.store import Store


def main(argv: Sequence[str] | None = None) -> int:
    return shell.run(lambda: _main(_parser().parse_args(argv)), argv)


def _main(options: argparse.Namespace) -> int:
    from bakery.store import store

    kept = store.Store(store.default_root())
    return _list(options, kept) if options.verb == "list" else _prune(options, kept)


def _parser() -> argparse.ArgumentParser:
    made = shell.Parser(prog="bake-image cache", description=__doc__, allow_abbrev=False)
    verbs = made.add_subparsers(dest="verb", required=True, parser_class=shell.Parser)
    listing = verbs.add_parser("list", help="print what is kept", allow_abbrev=False)
    listing.add_argument("--verify", action="store_true", help="read all of it and compare the digests")
    pruning = verbs.add_parser(
        "prune",
        help="remove some of it",
        description="Remove what no bake can use any more and, with options, what was not used lately.",
        allow_abbrev=False,
    )
    pruning.add_argument("--older-than", type=_number, metavar="DAYS", help="what was not used for so long")
    pruning.add_argument(
        "--max-size", type=_number, metavar="GIB", help="what is over it, least used first"
    )
    pruning.add_argument("--all", action="store_true", help="everything that no process is using")
    pruning.add_argument("--dry-run", action="store_true", help="say what would go and touch nothing")
    for parser in (listing, pruning):
        shell.common(parser)
    return made


def _number(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


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
    now = time.time()
    for entry in found:
        print(_line(entry, now) + (", DAMAGED" if entry.path in damaged else ""))
    return 0


def _row(entry: Entry) -> dict[str, Any]:
    return {**dataclasses.asdict(entry), "path": str(entry.path)}


def _line(entry: Entry, now: float) -> str:
    """kind, name, GiB, days since it was made and used, and what it depends on."""
    name = entry.name[:12] if entry.kind in ("base", "checkpoint") else entry.name
    ages = f"made {_age(now - entry.made)} ago, used {_age(now - entry.used)} ago"
    more = [entry.title] if entry.title else []
    if entry.kind == "checkpoint":
        more.append(f"over base {entry.of[:12]}")
    if entry.in_use:
        more.append("in use")
    if entry.useless:
        more.append("of no use any more")
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
    now = time.time()
    for entry in gone:
        print(_line(entry, now))
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
