"""An OSG worker in a container of Docker: by variables, and by its file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from bakery.verify.pool.throwaway_pool import ADDRESS, COMPLETED, TRUST_DOMAIN, Pool
from tests.conftest import command
from tests.integration.docker.conftest import load
from tests.integration.docker.containers import Container, started, wait_idle_end
from tests.integration.docker_here import Docker

OSG = "worker-bakery/osg:test"
PROJECT, FOREIGN = "TG-ABC123", "TG-SOMEBODY-ELSE"
START = f'TARGET.ProjectName == "{PROJECT}"'
NETWORK = ("--net=host",)
SECRET = "/run/secrets/osg-token"
MOST_BYTES = 250 * 10**6
# The first 15 letters of their names; docs/how-to/containers.md says why each of them needs root.
OF_ROOT = {"worker", "condor_master", "condor_procd", "condor_shared_p", "condor_startd", "condor_starter"}
# Every environment and command line that a job's account can read; root reads them all.
LOOK = "#!/bin/sh\nenv\ncat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'\ntrue\n"


@pytest.fixture(scope="module")
def docker_with_osg(docker: Docker) -> Docker:
    bake(docker, OSG)
    return docker


def bake(docker: Docker, name: str, *more: str) -> None:
    """Load an image of an OSG worker into the daemon, under this name."""
    done = command("bake-image", "--worker", "osg", "--format", "oci", "--json", *more)
    assert done.status == 0, done.err[-3000:]
    load(docker, Path(json.loads(done.out)["path"]), name)


def variables(name: str, **more: str) -> Mapping[str, str]:
    return {
        "OSG_WORKER_GROUP_NAME": name,
        "OSG_WORKER_START": START,
        "OSG_WORKER_CENTRAL_MANAGER": ADDRESS,
        "OSG_WORKER_TRUST_DOMAIN": TRUST_DOMAIN,
        **more,
    }


def as_secret(token: Path) -> tuple[str, str]:
    """The option that mounts the token, which only root can read."""
    os.chown(token, 0, 0)
    token.chmod(0o400)
    return "-v", f"{token}:{SECRET}:ro"


def of_root(container: Container) -> set[str]:
    """The names of the processes whose real or effective user is root."""
    rows = [row.split() for row in container.exec("ps", "-eo", "ruser=,euser=,comm=").splitlines()]
    return {name for *users, name in rows if "root" in users} - {"ps"}


def wait_joined(pool: Pool, container: Container, name: str) -> None:
    container.wait_until("it joins", lambda: bool(pool.slot_attributes(name, "Name")), 240)


def wait_job(pool: Pool, container: Container, job: str) -> None:
    container.wait_until(f"job {job} is done", lambda: pool.job(job)[0] == int(COMPLETED), 240)


def only(name: str) -> dict[str, str]:
    """Jobs for the workers of one group: the pool may still show those of another test."""
    return {"requirements": f'TARGET.WorkerGroupName == "{name}"'}


@contextmanager
def queued(pool: Pool, name: str, project: str, more: Mapping[str, str]) -> Iterator[str]:
    """A job that no worker is to take: whatever comes of the test, it does not wait for those of others."""
    job = pool.submit(name, project, LOOK, more)
    try:
        yield job
    finally:
        pool.remove(job)


def rejected(pool: Pool, container: Container, job: str) -> None:
    container.wait_until(f"job {job} is rejected", lambda: pool.job_state(job).is_rejected(0), 240)


def test_variables_with_the_token_as_a_secret(docker_with_osg: Docker, pool: Pool, token: Path) -> None:
    """Joins, runs a job of its project only, ends with 0 when idle; the token is not in docker inspect."""
    secret = as_secret(token)
    name = "By Variables"
    env = variables(name, OSG_WORKER_TOKEN_FILE=SECRET)
    worker = started(docker_with_osg, *NETWORK, *secret, image=OSG, env=env)
    with queued(pool, "docker-osg-foreign", FOREIGN, only(name)) as foreign, worker as container:
        wait_joined(pool, container, name)
        job = pool.submit("docker-osg", PROJECT, LOOK, only(name))
        wait_job(pool, container, job)
        rejected(pool, container, foreign)
        inspected = json.dumps(container.inspect())
        wait_idle_end(container)
        shown = container.said() + inspected + pool.output("docker-osg")
    assert pool.worker_token()[:20] not in shown
    assert token.read_text().strip() not in shown
    assert "unknown variable" not in shown


def test_a_token_in_a_variable_is_in_no_process(docker_with_osg: Docker, pool: Pool) -> None:
    """Neither a job nor root in the container finds it; docker inspect does, and the worker says so."""
    secret, name = pool.worker_token(), "Token In A Variable"
    env = variables(name, OSG_WORKER_TOKEN=secret)
    with started(docker_with_osg, *NETWORK, image=OSG, env=env) as container:
        wait_joined(pool, container, name)
        job = pool.submit("docker-osg-looks", PROJECT, LOOK + "sleep 15\n", only(name))
        container.wait_until("the job runs", lambda: "condor_starter" in of_root(container), 240)
        # A tool that the worker has just called is of root, too, and ends.
        container.wait_until("no other process is of root", lambda: of_root(container) <= OF_ROOT, 120)
        wait_job(pool, container, job)
        # What `docker exec` starts has the variables of the container, until `env -i`.
        look = ("env", "-i", "sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'")
        seen = container.exec(*look)
        assert "OSG_WORKER_TOKEN=x" in seen
        assert f"OSG_WORKER_START={START}" in seen
        assert secret not in seen + pool.output("docker-osg-looks") + container.said()
        assert secret in json.dumps(container.inspect("Config", "Env"))
        assert "the token is in the environment, which docker inspect shows" in container.said()
        assert container.stop(100) == 0


def test_the_image_is_small(docker_with_osg: Docker) -> None:
    """Unpacked, by the sizes of its files; what is in it is in docs/how-to/containers.md."""
    size = docker_with_osg.call("image", "inspect", "-f", "{{.Size}}", OSG).stdout
    assert int(size) <= MOST_BYTES


def test_wrong_variables_start_nothing(docker_with_osg: Docker) -> None:
    env = {"OSG_WORKER_STRAT": START, "OSG_WORKER_IDLE_TIMEOUT": "soon", "OSG_WORKER_TOKEN": "a b"}
    with started(docker_with_osg, *NETWORK, image=OSG, env=env) as container:
        assert container.wait(300) == 2
        said = container.said()
    assert "unknown variable, ignored: OSG_WORKER_STRAT; did you mean OSG_WORKER_START?" in said
    assert "OSG_WORKER_START is missing" in said
    assert "OSG_WORKER_IDLE_TIMEOUT is not a whole number of seconds" in said
    assert "OSG_WORKER_TOKEN contains" in said
    assert "HTCondor was not started" in said


# The same as by variables, by the other way in.
@pytest.mark.full
def test_the_file_of_the_worker_and_a_variable_that_overrides_it(
    docker_with_osg: Docker, pool: Pool, tmp_path: Path
) -> None:
    conf = tmp_path / "osg-worker.conf"
    token = tmp_path / "token"
    token.write_text(pool.worker_token())
    words = (
        "--format",
        "conf",
        "--token-file",
        str(token),
        "--project",
        PROJECT,
        "--group-name",
        "By File",
    )
    pool_words = ("--pool", ADDRESS, "--set", f"TrustDomain={TRUST_DOMAIN}")
    done = command("gen-userdata", *words, *pool_words, "-o", str(conf))
    assert done.status == 0, done.err
    mounted = ("-v", f"{conf}:/etc/osg-worker.conf:ro")
    env = {"OSG_WORKER_GROUP_NAME": "By Variable"}
    with started(docker_with_osg, *NETWORK, *mounted, image=OSG, env=env) as container:
        wait_joined(pool, container, "By Variable")
        job = pool.submit("docker-osg-file", PROJECT, LOOK, only("By Variable"))
        wait_job(pool, container, job)
        wait_idle_end(container)
        said = container.said()
    assert "the variable OSG_WORKER_GROUP_NAME overrides WorkerGroupName" in said
    assert token.read_text() not in said + pool.output("docker-osg-file")


# Another bake; tests/integration/worker/test_ospool_jobs.py has the jobs of the OSPool, in namespaces.
@pytest.mark.full
def test_an_image_for_the_ospool(docker: Docker, pool: Pool, token: Path) -> None:
    """Its capabilities are tested and advertised, and its guards hold, without CVMFS and apptainer."""
    image, name = "worker-bakery/ospool:test", "For The OSPool"
    bake(docker, image, "--with", "ospool")
    more = {"OSG_WORKER_SITE_NAME": "Test-Site", "OSG_WORKER_RESOURCE_NAME": "Test-Site-Docker"}
    env = variables(name, OSG_WORKER_TOKEN_FILE=SECRET, **more)
    elsewhere = {**only(name), "+DESIRED_Sites": '"Elsewhere"'}
    worker = started(docker, *NETWORK, *as_secret(token), image=image, env=env)
    with queued(pool, "docker-ospool-not", PROJECT, elsewhere) as not_here, worker as container:
        wait_joined(pool, container, name)
        wanted = {**only(name), "+DESIRED_Sites": '"Test-Site"'}
        here = pool.submit("docker-ospool", PROJECT, LOOK, wanted)
        wait_job(pool, container, here)
        rejected(pool, container, not_here)
        shown = ("GLIDEIN_Site", "GLIDEIN_ResourceName", "OSPool", "OSG_OS_NAME")
        rows = pool.slot_attributes(name, *shown)
        assert rows
        assert set(rows) == {'"Test-Site" "Test-Site-Docker" false "DEBIAN"'}
        wait_idle_end(container)
