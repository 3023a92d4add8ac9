"""How containers end and start again: signals, restart policies, health checks, drains.

Some live at the same time. A notice of the cloud would concern all of them, so its test is alone.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import pytest

from bakery.machines.network import Network
from bakery.runtime.conditions import Condition, wait
from bakery.verify.pool.throwaway_pool import ADDRESS, Pool
from provisioner.errors import CommandFailed
from provisioner.process import run
from tests.boot.metadata import spot
from tests.integration.docker.containers import (
    CLOUD,
    RUN_SECONDS,
    Container,
    Here,
    by_name,
    mounted,
    started,
    told,
    variables,
    wait_job,
    wait_joined,
)
from tests.integration.docker_here import BRIDGE, Docker

GRACE = 60  # seconds that a job has to end when the worker stops
DRAIN = 90  # seconds for which it may go on before, where a test says so
ALIVE = ("--health-interval=1s", "--health-retries=1", "--health-start-period=1s")


def restarts(container: Container) -> int:
    return int(container.inspect("RestartCount"))


def health(container: Container) -> str:
    return str(container.inspect("State", "Health", "Status"))


def ended_after(container: Container) -> float:
    """Seconds between the request to stop and the end."""
    rows = container.said("--timestamps").splitlines()
    asked, ended = (
        next(row.split()[0] for row in rows if text in row)
        for text in ("received a request to stop", "HTCondor has stopped")
    )
    times = [datetime.fromisoformat(text[:26] + "+00:00") for text in (asked, ended)]
    return (times[1] - times[0]).total_seconds()


def on(cloud: str) -> dict[str, str]:
    return {"requirements": f'TARGET.{CLOUD} == "{cloud}"'}


def times_started(container: Container) -> int:
    return container.said().count("starting: HTCondor does not answer")


def is_healthy_until_htcondor_does_not_answer(here: Here) -> None:
    with started(here.docker, *mounted(here.token), *ALIVE, env=variables("health")) as container:
        assert health(container) in ("starting", "unhealthy")
        # Until then HTCondor is starting, however long that takes.
        container.wait_for_text("idle: no slot is claimed")
        container.wait_until("it is healthy", lambda: health(container) == "healthy", RUN_SECONDS)
        container.exec("pkill", "-STOP", "condor_startd")
        container.wait_until("it is unhealthy", lambda: health(container) == "unhealthy", RUN_SECONDS)
        container.exec("pkill", "-CONT", "condor_startd")
        container.wait_until("it is healthy again", lambda: health(container) == "healthy", RUN_SECONDS)


def on_failure_starts_a_worker_again_that_has_crashed_and_none_that_was_idle(here: Here) -> None:
    options = (*mounted(here.token), "--restart=on-failure", "--hostname", "again")
    with started(here.docker, *options, env=variables("again", idle_timeout="60")) as container:
        wait_joined(container, here.pool, "again")
        # The worker is the child of the first process.
        container.exec("sh", "-c", "kill -KILL $(cut -d' ' -f1 /proc/1/task/1/children)")
        container.wait_until("it runs again", lambda: restarts(container) == 1, RUN_SECONDS, ends=True)
        container.wait_until("HTCondor, too", lambda: times_started(container) == 2, RUN_SECONDS)
        assert container.wait(300) == 0
        assert "HTCondor exited after IdleTimeout: ending the container" in container.said()
        assert (restarts(container), container.inspect("State", "Status")) == (1, "exited")


def kill_and_restart_leave_nothing_that_hinders_the_next_start(here: Here) -> None:
    with started(
        here.docker, *mounted(here.token), "--hostname", "twice", env=variables("twice")
    ) as container:
        wait_joined(container, here.pool, "twice")
        container.call("kill", container.id)
        assert container.wait(300) == 137
        container.call("start", container.id)
        container.wait_until("HTCondor runs again", lambda: times_started(container) == 2, RUN_SECONDS)
        container.call("restart", "-t", "100", container.id)
        container.wait_until("HTCondor runs again", lambda: times_started(container) == 3, RUN_SECONDS)
        assert "HTCondor has stopped" in container.said()
        job = here.pool.submit("twice", "", "#!/bin/sh\necho fine\n", on("twice"))
        wait_job(here.pool, container, job)
        assert container.stop(100) == 0


@pytest.mark.full
def test_a_worker_that_finds_no_pool_fails_and_is_started_again(docker: Docker, token: Path) -> None:
    env = variables("nowhere", collector="10.0.2.2:1", join_timeout="15")
    options = (*mounted(token), "--restart=on-failure:1")
    with started(docker, *options, env=env) as container:
        container.wait_until(
            "it has ended twice",
            lambda: container.said().count(": ending the container") == 2 and not container.runs(),
            300,
            ends=True,
        )
        assert (restarts(container), container.inspect("State", "ExitCode")) == (1, 1)


STARTD_LOG, STARTER_LOG = "/var/log/condor/StartLog", "/var/log/condor/StarterLog.slot1_1"
# It takes as long on any machine, and hears a signal at once.
TICKS = """#!/bin/sh
trap 'echo told to end; exit 5' TERM
sleep {seconds} &
wait $!
echo done
"""


def a_job_survives_docker_stop_and_no_new_one_begins(here: Here) -> None:
    """The job takes a minute, and `docker stop` comes when it has begun."""
    options = (*mounted(here.token), "--hostname", "drains")
    with started(here.docker, *options, env=variables("drains", drain_timeout=f"{DRAIN}")) as container:
        job = here.pool.submit("drains", "", TICKS.format(seconds=60), on("drains"))
        wait_job(here.pool, container, job, "2")
        with ThreadPoolExecutor(1) as threads:
            stopping = threads.submit(container.stop, DRAIN + 100)  # as the document says
            container.wait_for_text(f"received a request to stop: jobs have {DRAIN} s to end")
            late = here.pool.submit("late", "", "#!/bin/sh\necho too late\n", on("drains"))
            container.wait_until("it says so", lambda: told(container)["state"] == "retiring", 30)
            assert stopping.result() == 0, container.said() + container.file(STARTD_LOG)[-9000:]
        of_job = ("JobStatus", "NumShadowStarts", "ExitCode")
        ended = Condition(
            "its end", lambda: here.pool.job_attributes(job, *of_job), 60, ["4", "1", "0"].__eq__
        )
        wait(ended)
        assert here.pool.output("drains") == "done\n"
        # A match that was made before the pool knew may have started its shadow, but not the job.
        never = here.pool.job_attributes(late, "JobStatus", "JobCurrentStartExecutingDate")
        assert never == ["1", "undefined"]
        here.pool.remove(late)
        assert "HTCondor has stopped" in container.said()


def shadow_of(pool: Pool, job: str) -> int:
    """The process that represents a job at the access point of this pool."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            words = (process / "cmdline").read_bytes().split(b"\0")
            its = b"condor_shadow" in words[0] and job.encode() in words
            if its and (process / "root").samefile(pool.root):
                return int(process.name)
    raise AssertionError(f"job {job} has no shadow")


@contextmanager
def standing_still(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def log_has(container: Container, text: str, log: str = STARTER_LOG) -> bool:
    return container.does("grep", "-q", text, log)


def the_end_waits_until_the_pool_has_taken_the_output_of_the_job(here: Here) -> None:
    """Its shadow stands still for some seconds when the job has ended, as on a busy access point."""
    options = (*mounted(here.token), "--hostname", "slow-pool")
    env = variables("slow-pool", drain_timeout=f"{DRAIN}")
    with started(here.docker, *options, env=env) as container:
        job = here.pool.submit("slow-pool", "", TICKS.format(seconds=10), on("slow-pool"))
        container.wait_until(
            "the job runs", lambda: log_has(container, "Create_Process succeeded"), RUN_SECONDS
        )
        its_sleep = ("pgrep", "-x", "-u", "slot1", "sleep")
        with ThreadPoolExecutor(1) as threads:
            with standing_still(shadow_of(here.pool, job)):
                stopping = threads.submit(container.stop, DRAIN + 100)
                container.wait_until("the job ends", lambda: not container.does(*its_sleep), DRAIN)
                with pytest.raises(TimeoutError):
                    stopping.result(timeout=10)
            assert stopping.result() == 0
        assert here.pool.output("slow-pool") == "done\n"


def a_claim_without_a_job_does_not_hold_up_the_end(here: Here) -> None:
    """The access point keeps it for the user's next job."""
    options = (*mounted(here.token), "--hostname", "kept")
    with started(here.docker, *options, env=variables("kept", drain_timeout=f"{DRAIN}")) as container:
        kept = {**on("kept"), "keep_claim_idle": "600"}
        wait_job(here.pool, container, here.pool.submit("kept", "", "#!/bin/sh\necho fine\n", kept))
        container.wait_until(
            "the claim is idle",
            lambda: log_has(container, "slot1_1: Changing activity: Busy -> Idle", STARTD_LOG),
            60,
        )
        assert container.stop(DRAIN + 100) == 0
        assert ended_after(container) < GRACE, container.said() + container.file(STARTD_LOG)[-9000:]


def a_job_that_takes_longer_is_given_back_and_starts_elsewhere(here: Here) -> None:
    """Ten minutes; the first worker has 15 s for it. It stops in order, so that no lease has to end."""
    given_back = TICKS.format(seconds=600)
    options = (*mounted(here.token), "--hostname")
    env = variables("gives-back", drain_timeout="15")
    with started(here.docker, *options, "first", env=env) as first:
        job = here.pool.submit("gives-back", "", given_back, on("gives-back"))
        wait_job(here.pool, first, job, "2")
        with started(here.docker, *options, "second", env=env) as second:
            assert first.stop(120) == 0
            assert ended_after(first) < 110, "the job ends when it is asked to, after 15 s"
            elsewhere = ["2", "slot1_1@second"]
            second.wait_until(
                "the job runs elsewhere",
                lambda: here.pool.job_attributes(job, "JobStatus", "RemoteHost") == elsewhere,
                RUN_SECONDS,
            )
            assert here.pool.job_attributes(job, "NumShadowStarts") == ["2"]
            here.pool.remove(job)
            second.call("kill", "--signal", "TERM", second.id)
            second.call("kill", "--signal", "TERM", second.id)
            assert second.wait(300) == 0


def drained(pool: Pool, slot: str) -> bool:
    """Whether a busy startd took the order."""
    with suppress(CommandFailed):
        pool._tool("condor_drain", "-pool", ADDRESS, slot)
        return True
    return False


def a_job_that_a_drain_by_the_pool_lets_go_on_is_asked_to_end_when_the_worker_stops(here: Here) -> None:
    """`condor_drain` lets jobs take as long as they need; `docker stop` without DrainTimeout does not."""
    script = "#!/bin/sh\ntrap 'touch /told/to-end; exit 5' TERM\nsleep 3600 &\nwait $!\n"
    told = here.folder / "told"
    told.mkdir()
    told.chmod(0o777)
    options = (*mounted(here.token), "-v", f"{told}:/told", "--hostname", "drained")
    with started(here.docker, *options, env=variables("drained")) as container:
        job = here.pool.submit("drained", "", script, on("drained"))
        wait_job(here.pool, container, job, "2")
        container.wait_until("condor_drain reaches it", lambda: drained(here.pool, "slot1@drained"), 120)
        container.wait_until(
            "it drains",
            lambda: "true" in here.pool.slot_attributes("drained", "Draining", name_attribute=CLOUD),
            60,
        )
        assert container.stop(100) == 0
        assert ended_after(container) < GRACE, container.said()
        assert (told / "to-end").exists(), "it is asked to end, not killed"
        here.pool.remove(job)


# The longest begin first.
LIVES = by_name(
    a_job_survives_docker_stop_and_no_new_one_begins,
    the_end_waits_until_the_pool_has_taken_the_output_of_the_job,
    on_failure_starts_a_worker_again_that_has_crashed_and_none_that_was_idle,
    a_job_that_takes_longer_is_given_back_and_starts_elsewhere,
    is_healthy_until_htcondor_does_not_answer,
    kill_and_restart_leave_nothing_that_hinders_the_next_start,
    a_job_that_a_drain_by_the_pool_lets_go_on_is_asked_to_end_when_the_worker_stops,
    a_claim_without_a_job_does_not_hold_up_the_end,
)


@pytest.mark.parametrize("name", LIVES)
def test_container(name: str, lived: dict[str, Future[None]]) -> None:
    lived[name].result()


def bridge_address(network: Network) -> str:
    """The hardware address, by which containers reach everything else."""
    [bridge] = json.loads(run.call(network.argv(["ip", "-json", "link", "show", BRIDGE])).stdout)
    return str(bridge["address"])


@pytest.mark.usefixtures("docker")
def test_a_container_that_comes_or_goes_does_not_hold_up_the_others(network: Network) -> None:
    """They would wait for answers to what they send to the old address of the bridge, up to a minute."""
    before, lowest = bridge_address(network), "02:00:00:00:00:01"
    peer = ["address", lowest, "type", "veth", "peer", "name", "inside"]
    run.call(network.argv(["ip", "link", "add", "outside", *peer]))
    run.call(network.argv(["ip", "link", "set", "outside", "master", BRIDGE]))
    with_it = bridge_address(network)
    run.call(network.argv(["ip", "link", "delete", "outside"]))
    assert [with_it, bridge_address(network)] == [before, before]


def test_a_notice_of_the_cloud_ends_the_container_when_its_job_has_ended(
    docker: Docker, pool: Pool, network: Network, token: Path
) -> None:
    """On the host's network, as the service is there; its answers are those of Amazon."""
    options = (*mounted(token), "--net=host", "--privileged")
    with (
        spot(network) as announce,
        started(docker, *options, env=variables("spot", drain_timeout="90")) as container,
    ):
        job = pool.submit("spot", "", TICKS.format(seconds=20), on("spot"))
        wait_job(pool, container, job, "2")
        announce(120)
        container.wait_for_text("retiring: 1 claimed; spot instance: Amazon announced terminate", 60)
        assert container.wait(120) == 0
        assert pool.output("spot") == "done\n"
        assert (
            "stopping: spot instance: Amazon announced terminate: ending the container" in container.said()
        )
