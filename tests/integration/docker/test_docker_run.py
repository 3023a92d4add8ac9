"""`docker run` as the document of PROMINENCE has it, on a real daemon and with a real pool.

tests/golden/container/docker-run.sh is the command of that document, word for word.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bakery.verify.pool.throwaway_pool import ADDRESS, TRUST_DOMAIN, Pool
from tests.boot.life import real_rounds
from tests.integration.docker.containers import (
    CLOUD,
    IMAGE,
    RUN_SECONDS,
    Container,
    Here,
    by_name,
    documented,
    mounted,
    of_cluster,
    owner_and_mode,
    refused,
    started,
    told,
    variables,
    wait_idle_end,
    wait_job,
)
from tests.integration.docker_here import Docker

REQUIRED = ("PROMINENCE_CLOUD", "PROMINENCE_REGION", "PROMINENCE_NODE_GROUP", "PROMINENCE_COLLECTOR")
JOB_ID = "5e1f-1700000000"
JOBS = Path(__file__).parent.parent / "jobs"
# A job that runs a container by udocker, and what the program in there says.
CONTAINED = {"request_disk": "100000"}
IN_THE_IMAGE = ["in the image", "not on the machine", "0"]


@contextmanager
def line(docker: Docker, token: Path, cloud: str, **given: str) -> Iterator[Container]:
    """The documented line with a shell's variables, of which some are not set."""
    usual = {"cloud": cloud, "region": "Here", "node_group": "Bakers", "condor_host": ADDRESS}
    with documented(docker, token.parent, **usual, **given) as container:
        yield container


def waited(container: Container, state: str, *options: str) -> bool:
    argv = ("worker-image", "wait", "--for", state, "--timeout", "5s")
    return container.docker.call("exec", *options, container.id, *argv).returncode == 0


def test_the_documented_line_joins_runs_its_job_and_ends(
    docker: Docker, pool: Pool, machine: Path, token: Path
) -> None:
    script = "#!/bin/sh\nid -un; env; pwd; cat /etc/condor/tokens.d/* /run/worker-bakery/tokens.d/*\n"
    here = f'TARGET.ProminenceRegion == "Here" && TARGET.{CLOUD} == "documented"'
    own = {**of_cluster(JOB_ID), "requirements": here}
    foreign = pool.submit("foreign", "", script, {**own, "+ProminenceWantCluster": '"another"'})
    given = {"job_id": JOB_ID, "idle_timeout": "3600", "schedd_name": "parallel"}
    with line(docker, token, "documented", **given) as container:
        container.wait_until("it runs", lambda: "starting: " in container.said(), RUN_SECONDS)
        container.wait_until("it has joined", lambda: waited(container, "joined"), RUN_SECONDS)
        status = told(container)
        assert (status["live"], status["pending"], status["htcondor"]) == (True, "", "active")
        assert status["group"] == "documented, Here, Bakers"
        wait_job(pool, container, pool.submit("mine", "", script, own))
        shown = ("ProminenceRegion", "ProminenceNodeGroup", "DedicatedScheduler")
        [said, *_] = pool.slot_attributes("documented", *shown, name_attribute=CLOUD)
        assert said == '"Here" "Bakers" "DedicatedScheduler@parallel"'
        container.exec("/usr/lib/worker-bakery/worker", "alive")
        assert container.exec("condor_config_val", "STARTD_NOCLAIM_SHUTDOWN").strip() == "3600"
        wait_idle_end(container)
        log = container.said()
    out = pool.output("mine")
    assert out.startswith("slot1\n")
    assert "/home/prominence/condor/dir_" in out
    assert "PROMINENCE" not in out
    assert pool.job_attributes(foreign, "JobStatus", "NumShadowStarts") == ["1", "undefined"]
    pool.remove(foreign)
    startd = (machine / "log/condor/StartLog").read_text()
    assert (machine / "opt/prominence/prominence/condor").is_dir()
    for text in (log, out, startd):
        assert "eyJ" not in text
    assert owner_and_mode(token) == (1000, 1000, 0o644)


def without_privileges_a_job_runs_a_container_and_docker_stop_ends_the_worker(here: Here) -> None:
    job = here.pool.submit(
        "contained",
        "",
        (JOBS / "with-udocker.sh").read_text(),
        {**CONTAINED, "requirements": f'TARGET.HasUdocker && TARGET.{CLOUD} == "contained"'},
    )
    with started(
        here.docker, *mounted(here.token), env=variables("contained", idle_timeout="3600")
    ) as container:
        wait_job(here.pool, container, job)
        assert here.pool.output("contained").splitlines()[-3:] == IN_THE_IMAGE
        container.wait_until(
            "nobody dead is left", lambda: "Z" not in container.exec("ps", "-eo", "stat="), RUN_SECONDS
        )
        assert container.stop(100) == 0
        log = container.said()
    assert "this container is not privileged" in log
    assert "are not kept from the cloud's metadata service" in log
    assert "HTCondor has stopped" in log


def an_ordinary_user_runs_a_worker_of_his_own(here: Here) -> None:
    """As apptainer has it on a cluster: the image's files, the user's own identity and folders."""
    home, scratch = here.folder / "home", here.folder / "scratch"
    for folder in (home / ".condor/tokens.d", scratch):
        folder.mkdir(parents=True)
    token = home / ".condor/tokens.d/token.jwt"
    token.write_text(here.pool.worker_token())
    token.chmod(0o640)
    for path in (home, *home.rglob("*"), scratch):
        os.chown(path, 65534, 65534)
    env = {**variables("of-alice"), "HOME": "/home/alice", "TMPDIR": "/scratch"}
    options = ("--user", "65534:65534", "-v", f"{home}:/home/alice", "-v", f"{scratch}:/scratch")
    wanted = {**CONTAINED, "requirements": f'TARGET.HasUdocker && TARGET.{CLOUD} == "of-alice"'}
    job = here.pool.submit("of-alice", "", (JOBS / "with-udocker.sh").read_text(), wanted)
    with started(here.docker, *options, env=env) as container:
        wait_job(here.pool, container, job)
        assert told(container)["live"]
        container.exec("/usr/lib/worker-bakery/worker", "alive")
        assert here.pool.output("of-alice").splitlines()[-3:] == IN_THE_IMAGE
        assert container.stop(100) == 0
        said = container.said()
    assert "jobs run as nobody, in /scratch/worker-bakery-65534/execute" in said
    assert "token.jwt is readable by others than its owner (mode 0640)" in said
    assert "eyJ" not in said
    assert owner_and_mode(token) == (65534, 65534, 0o640)
    assert (scratch / "worker-bakery-65534").stat().st_mode & 0o777 == 0o700


LIVES = by_name(
    without_privileges_a_job_runs_a_container_and_docker_stop_ends_the_worker,
    an_ordinary_user_runs_a_worker_of_his_own,
)


@pytest.mark.parametrize("name", LIVES)
def test_container(name: str, lived: dict[str, Future[None]]) -> None:
    lived[name].result()


# All of them at once are in the next test.
@pytest.mark.full
@pytest.mark.parametrize("name", REQUIRED)
def test_each_variable_that_is_required(name: str, docker: Docker, token: Path) -> None:
    said = refused(docker, *mounted(token), **{**variables("refused"), name: ""})
    assert f"{name} is empty" in said
    assert said.count(" is empty") == 1


def test_all_that_is_missing_is_said_at_once(docker: Docker) -> None:
    said = refused(docker)
    for name in REQUIRED:
        assert f"{name} is missing" in said
    assert "/etc/condor/tokens.d/token.jwt does not exist" in said


@pytest.mark.full  # as in tests/unit/worker
def test_values_that_cannot_be_used(docker: Docker, token: Path) -> None:
    said = refused(docker, *mounted(token), **variables("refused", idle_timeout="soon", collector="a b"))
    assert "PROMINENCE_IDLE_TIMEOUT is not a whole number" in said
    assert "PROMINENCE_COLLECTOR is not of the form" in said


def test_a_parallel_job_runs_on_two_containers(docker: Docker, pool: Pool, token: Path) -> None:
    """Each has a network and a name of its own, as without --net=host or on two machines."""
    small = token.parent / "95-test.config"
    # An ad that says that the worker is healthy does not take a minute.
    small.write_text("NUM_CPUS = 1\nUPDATE_INTERVAL = 5\n")
    own = (*mounted(token), "-v", f"{small}:/etc/condor/config.d/{small.name}")
    env = variables("two", schedd_name=TRUST_DOMAIN, job_id="two")
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(started(docker, "--hostname", name, *own, env=env))
            for name in ("node0", "node1")
        ]
        # All CPUs, so that two nodes of a job cannot be on one machine. By default a job ends with its
        # first node, and what the others say may be lost.
        both = {
            "universe": "parallel", "machine_count": "2", "request_cpus": "1",
            "output": "job.out.$(Node)", "+WantParallelSchedulingGroups": "True",
            "+ParallelShutdownPolicy": '"WAIT_FOR_ALL"', **of_cluster("two"),
        }  # fmt: skip
        for node in nodes:
            node.wait_until(
                "both have joined",
                lambda: len(pool.slot_attributes("two", "Name", name_attribute=CLOUD)) == 2,
                240,
            )
        job = pool.submit("two", "", "#!/bin/sh\nuname -n; sleep 2\n", both)
        with real_rounds(pool):
            wait_job(pool, nodes[0], job, seconds=600)
        outputs = (pool.root / "home/submitter/two").glob("job.out.*")
        assert sorted(path.read_text() for path in outputs) == ["node0\n", "node1\n"]
        assert [node.stop(100) for node in nodes] == [0, 0]


def test_the_image_says_what_it_is(docker: Docker, archive: Path) -> None:
    [found] = json.loads(docker.call("image", "inspect", IMAGE).stdout)
    config = found["Config"]
    assert config["Entrypoint"] == ["/usr/lib/worker-bakery/worker", "run"]
    assert set(config["Volumes"]) == {"/home", "/var/lib/condor", "/var/log/condor"}
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/lib/worker-bakery/worker", "alive"]
    assert config["Labels"]["org.opencontainers.image.version"] == archive.stem
    assert found["Size"] < 280_000_000, "it is to stay small: docs/how-to/containers.md says what is in it"
