"""Print a result on stdout. Names come from an image and are not interpreted as markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bakery.imagediff.differ import Result
from bakery.imagediff.files import Difference
from bakery.imagediff.sizes import Growth, Row

if TYPE_CHECKING:
    from rich.console import Console

LIMIT = 20  # differences printed for one section without --all
_WHATS = ("added", "removed", "changed")


def print_result(result: Result, *, everything: bool) -> None:
    """Print counts and differences; without `everything` at most LIMIT of each section."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    _print_counts(console, result)
    for section in result.compared:
        found = [one for one in result.unexplained if one.section == section]
        _print_differences(console, section, found, everything)
    if everything:
        _print_differences(console, "volatile", list(result.volatile), everything)
    elif result.volatile:
        _print_reasons(console, result)


def _print_counts(console: Console, result: Result) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("")
    for heading in ("compared", *_WHATS):
        table.add_column(heading, justify="right")
    for section, compared in result.compared.items():
        counts = Counter[str](one.what for one in result.unexplained if one.section == section)
        table.add_row(section, str(compared), *(str(counts[what]) for what in _WHATS))
    console.print(table)


def _print_differences(console: Console, title: str, found: list[Difference], everything: bool) -> None:
    if not found:
        return
    console.print(f"\n{title}", style="bold")
    shown = found if everything else found[:LIMIT]
    for one in shown:
        console.print(f"  {line(one)}")
    if len(found) > len(shown):
        console.print(f"  … and {len(found) - len(shown)} more; --all shows them")


def _print_reasons(console: Console, result: Result) -> None:
    console.print("\nvolatile, not counted as different; --all lists them", style="bold")
    for reason, count in sorted(Counter(one.reason for one in result.volatile).items()):
        console.print(f"  {count:>5}  {reason}")


def line(found: Difference) -> str:
    """Describe a difference in one line."""
    how = "; ".join(map(str, found.changes))
    reason = f" ({found.reason})" if found.reason else ""
    return f"{found.what:<8} {found.name}{': ' + how if how else ''}{reason}"


def print_growth(found: Growth, *, everything: bool) -> None:
    """Print what grew; without `everything` at most LIMIT packages and directories."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"all files  {_mib(found.total.a)} → {_mib(found.total.b)} MiB  ({_change(found.total)})")
    for title, rows in (("package", found.packages), ("directory", found.directories)):
        _print_rows(console, title, rows, everything)


def _print_rows(console: Console, title: str, rows: Sequence[Row], everything: bool) -> None:
    from rich.table import Table

    if not rows:
        return
    shown = rows if everything else sorted(rows, key=lambda row: -abs(row.growth))[:LIMIT]
    table = Table(box=None, header_style="bold")
    table.add_column(title, overflow="fold")
    for heading in ("before", "after", "change"):
        table.add_column(f"{heading}, MiB", justify="right")
    for row in sorted(shown, key=lambda row: (-row.growth, row.name)):
        table.add_row(row.name, _mib(row.a), _mib(row.b), _change(row))
    console.print()
    console.print(table)
    if len(rows) > len(shown):
        console.print(f" … and {len(rows) - len(shown)} more; --all shows them")


def _mib(size: int | None) -> str:
    return "-" if size is None else f"{size / 2**20:,.2f}"


def _change(row: Row) -> str:
    return f"{row.growth / 2**20:+,.2f}"
