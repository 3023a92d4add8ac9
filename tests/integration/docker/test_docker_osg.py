"""An OSG worker in Docker: told by its file, and by variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bakery.userdata.rendering import conf_text
from bakery.verify.pool.throwaway_pool import ADDRESS, COMPLETED, Pool
from tests.boot.life import conf
from tests.conftest import command
from tests.integration.docker.conftest import load
from tests.integration.docker.containers import Container, mounted, started
from tests.integration.docker_here import Docker

OSG, PROJECT = "osg-worker:latest", "TG-DOCKER"


@pytest.fixture(scope="module")
def osg(docker: Docker) -> Docker:
    done = command("bake-image", "--worker", "osg", "--format", "oci", "--json")
    assert done.status == 0, done.err[-3000:]
    load(docker, Path(json.loads(done.out)["path"]), OSG)
    return docker


def runs_its_job_only(container: Container, pool: Pool, group: str) -> None:
    """And ends in order."""
    own = {"requirements": f'TARGET.WorkerGroupName == "{group}"'}
    foreign = pool.submit(f"{group}-foreign", "TG-SOMEBODY-ELSE", "#!/bin/sh\nid -un\n", own)
    job = pool.submit(group, PROJECT, "#!/bin/sh\nid -un\n", own)
    container.wait_until(
        "its job has ended", lambda: pool.job_attributes(job, "JobStatus") == [COMPLETED], 300
    )
    assert pool.output(group) == "slot1\n"
    assert pool.job_attributes(foreign, "JobStatus", "NumShadowStarts") == ["1", "undefined"]
    pool.remove(foreign)
    assert "eyJ" not in container.said()
    assert container.stop(100) == 0


def test_by_its_file(osg: Docker, pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "osg-worker.conf"
    file.write_text(conf_text(conf(pool, "osg-file", PROJECT)))
    file.chmod(0o600)
    volume = ("-v", f"{file}:/etc/osg-worker.conf", "--hostname", "osg-file")
    with started(osg, *volume, image=OSG) as container:
        runs_its_job_only(container, pool, "osg-file")


def test_by_variables(osg: Docker, pool: Pool, token: Path) -> None:
    env = {
        "OSG_WORKER_GROUP_NAME": "osg-variables",
        "OSG_WORKER_START": f'TARGET.ProjectName == "{PROJECT}"',
        "OSG_WORKER_CENTRAL_MANAGER": ADDRESS,
        "OSG_WORKER_TRUST_DOMAIN": pool.shape.trust_domain,
        "OSG_WORKER_IDLE": "5",
    }
    with started(osg, *mounted(token), "--hostname", "osg-variables", image=OSG, env=env) as container:
        runs_its_job_only(container, pool, "osg-variables")
        assert "unknown variable, ignored: OSG_WORKER_IDLE\n" in container.said()
