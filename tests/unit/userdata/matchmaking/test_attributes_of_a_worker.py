"""The sample worker has every attribute that a worker advertises."""

from __future__ import annotations

import pytest
from worker_runtime.configuration import condor_config, instance
from worker_runtime.jobs import container_runtimes, health
from worker_runtime.ospool import pilot_attributes
from worker_runtime.ospool.cached_checks import Result

from bakery.userdata.matchmaking import samples
from bakery.userdata.matchmaking.attributes import MACHINE
from tests.unit.worker.conftest import kind_of
from tests.unit.worker.jobs.test_ospool import NOW, POOL, results


@pytest.mark.parametrize("name", ["osg", "prominence"])
def test_attributes_of_the_kind_the_machine_and_the_health(name: str) -> None:
    kind = kind_of(name)
    values = {key.setting: key.default or "given" for key in kind.keys}
    machine = condor_config.Machine(
        1_700_000_000,
        {**instance.cloud_attributes({}), **instance.image_attributes({})},
        image_date=1_690_000_000,
    )
    advertised = set(condor_config.attributes(kind, {**values, "MaxLifetime": "3600"}, machine))
    health_attributes = health.format_attributes(
        health.Report(True, "OK", 0, "")
    ) + container_runtimes.format_attributes("no")
    advertised |= {row.partition(" ")[0] for row in health_attributes.splitlines()}
    assert {"NODE_IS_HEALTHY", "HasUdocker", "WorkerImage", "WorkerImageDate", "WorkerEnds"} <= advertised
    assert advertised <= samples.WORKER_ATTRIBUTES


def test_attributes_of_an_image_for_the_ospool() -> None:
    kind = kind_of("osg")._replace(ospool=POOL)
    values = {key.setting: key.default or "given" for key in kind.keys}
    machine = condor_config.Machine(1_700_000_000, {})
    advertised = set(condor_config.attributes(kind, {**values, "MaxLifetime": "3600"}, machine))
    fine = pilot_attributes.attributes(results(), POOL, "bad")
    repository = pilot_attributes.repository_attributes("sft_cern_ch", Result(True, "[1, 0, 0]", NOW))
    assert {*advertised, *fine, *repository} <= MACHINE
    assert {*advertised, *fine} - {name for name in fine if "CVMFS" in name} <= samples.WORKER_ATTRIBUTES
