"""Whatever a worker advertises of itself is in the sample worker by which a Start is judged."""

from __future__ import annotations

import pytest
from worker_runtime import condor, health, machine, runtimes

from bakery.launch.matchmaking import samples
from tests.unit.guest.conftest import kind_of


@pytest.mark.parametrize("name", ["osg", "prominence"])
def test_of_its_kind_its_machine_and_its_health(name: str) -> None:
    kind = kind_of(name)
    values = {key.setting: key.default or "given" for key in kind.keys}
    place = condor.Place(1_700_000_000, {**machine.of_cloud({}), **machine.of_image({})})
    advertised = set(condor.attributes(kind, {**values, "MaxLifetime": "3600"}, place))
    said = health.advertised(health.Report(True, "OK", 0, "")) + runtimes.advertised("no")
    advertised |= {row.partition(" ")[0] for row in said.splitlines()}
    assert {"NODE_IS_HEALTHY", "HasUdocker", "WorkerImage", "WorkerEnds"} <= advertised
    assert advertised <= samples.WORKERS
