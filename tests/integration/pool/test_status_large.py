"""`worker-bakery status` of 50,000 slots of a real collector: rows as condor_status has, flat memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.machines.network import Network
from bakery.verify.pool.throwaway_pool import Pool
from tests import big_collector

pytestmark = pytest.mark.full
WORKERS = 5000


def test_fifty_thousand_slots(pool: Pool, network: Network, tmp_path: Path) -> None:
    """Twice the slots: the same rows, and hardly more memory; less time and memory than with jq."""
    half, whole, theirs = (tmp_path / name for name in ("half", "whole", "theirs"))
    big_collector.fill(pool, WORKERS // 2)
    before = big_collector.measured(big_collector.ours(network), half)
    big_collector.fill(pool, WORKERS)
    query = big_collector.measured(big_collector.theirs(pool), theirs)
    table = big_collector.measured(big_collector.ours(network), half)
    big_collector.measured(big_collector.ours(network, "--json"), whole)
    expected = big_collector.rows_of_theirs(theirs.read_text())
    assert len(expected) == WORKERS
    assert big_collector.rows_of_ours(whole.read_text()) == expected
    print(f"\n{before}\n{table}\n{query} (condor_status -json | jq)")
    assert table.peak < 1.5 * before.peak
    assert table.peak < query.peak / 2
    assert table.cpu < query.cpu
