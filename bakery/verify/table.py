"""A proof as a table for people."""

from __future__ import annotations

from bakery.verify.ladder import LEVELS, Proof


def print_proof(proof: Proof) -> None:
    """To stderr: what was shown, and how long each took."""
    if not proof:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("level")
    table.add_column("what was shown")
    table.add_column("seconds", justify="right")
    for level in LEVELS:
        for check in proof.get(level, {}).get("checks", ()):
            table.add_row(level, check["what"], f"{check['seconds']:.1f}")
    Console(stderr=True, highlight=False, markup=False).print(table)
