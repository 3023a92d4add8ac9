"""Whatever a worker advertises of itself is in the sample worker by which a Start is judged."""

from __future__ import annotations

import pytest
from worker_runtime import condor, health, machine, offered, runtimes
from worker_runtime.tried import Result

from bakery.userdata.matchmaking import samples
from bakery.userdata.matchmaking.attributes import MACHINE
from tests.unit.guest.conftest import kind_of
from tests.unit.guest.test_ospool import NOW, POOL, results


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


def test_of_an_image_for_the_ospool() -> None:
    kind = kind_of("osg")._replace(ospool=POOL)
    values = {key.setting: key.default or "given" for key in kind.keys}
    place = condor.Place(1_700_000_000, {})
    advertised = set(condor.attributes(kind, {**values, "MaxLifetime": "3600"}, place))
    fine = offered.attributes(results(), POOL, "bad")
    repository = offered.of_repository("sft_cern_ch", Result(True, "[1, 0, 0]", NOW))
    assert {*advertised, *fine, *repository} <= MACHINE
    assert {*advertised, *fine} - {name for name in fine if "CVMFS" in name} <= samples.WORKERS
