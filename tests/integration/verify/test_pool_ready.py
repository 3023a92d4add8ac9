"""The throw-away pool is ready although the first ads of its daemons were lost."""

from __future__ import annotations

from bakery.runtime import conditions
from bakery.runtime.conditions import Condition
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import Pool


def test_a_collector_that_starts_after_the_others(pool: Pool) -> None:
    """A collector that starts again has no ads, as one that was not listening yet when they were sent."""
    before = daemon_pid(pool)
    pool._tool("condor_restart", "-daemon", "collector")
    conditions.wait(
        Condition("another collector", lambda: daemon_pid(pool), 120, lambda pid: pid != before)
    )
    throwaway_pool._wait_ready(pool)
    assert "NegotiatorLog" in pool.logs()


def daemon_pid(pool: Pool) -> str:
    """The process of the collector that wrote its log last."""
    rows = (pool.root / "var/log/condor/CollectorLog").read_text().splitlines()
    pids = [row.rpartition("PID = ")[2] for row in rows if "** PID = " in row]
    return pids[-1] if pids else ""
