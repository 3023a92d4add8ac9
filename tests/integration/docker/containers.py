"""Containers of a real Docker daemon, by its command line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime.conditions import Condition, wait
from bakery.verify.pool.throwaway_pool import ADDRESS, Pool
from provisioner.errors import NotProven
from tests.integration.docker_here import Docker

DOCUMENTED = Path(__file__).parent.parent.parent / "golden/container/docker-run.sh"
# The image of the documented line, which our image is here.
IMAGE = "eoscprominence/worker:latest"
CLOUD = "ProminenceCloud"
SOON = "STARTD_NOCLAIM_SHUTDOWN = 5\nUPDATE_INTERVAL = 5\n"  # seconds
COMPLETED, HELD = "4", "5"
RUN_SECONDS = 600  # for a container to join, or a job to run


AT_ONCE = 3  # containers; of more, HTCondor answers late on a machine with two cores


@dataclass(frozen=True)
class Here:
    """What a test requires that lives beside others; `folder` is its own."""

    docker: Docker
    pool: Pool
    folder: Path

    @property
    def token(self) -> Path:
        return self.folder / "token.jwt"


Life = Callable[[Here], None]


@dataclass(frozen=True)
class Container:
    docker: Docker
    id: str

    def said(self, *options: str) -> str:
        done = self.docker.call("logs", *options, self.id)
        return done.stdout + done.stderr

    def file(self, path: str) -> str:
        """The content of a file of it, also when it has ended, in the tar archive of `docker cp`."""
        return self.docker.call("cp", f"{self.id}:{path}", "-").stdout

    def inspect(self, *path: str) -> Any:
        """A part of what `docker inspect` says."""
        [found] = json.loads(self.docker.call("inspect", self.id).stdout)
        for name in path:
            found = found[name]
        return found

    def runs(self) -> bool:
        return bool(self.inspect("State", "Running"))

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        self.wait_until("it ends", lambda: not self.runs(), seconds, ends=True)
        return int(self.inspect("State", "ExitCode"))

    def exec(self, *argv: str, expect: Sequence[int] = (0,), options: Sequence[str] = ()) -> str:
        """The output of `docker exec`, which is to end with one of these codes."""
        done = self.docker.call("exec", *options, self.id, *argv)
        assert done.returncode in expect, f"{argv}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout

    def does(self, *argv: str) -> bool:
        """Whether a command in it succeeds."""
        return self.docker.call("exec", self.id, *argv).returncode == 0

    def stop(self, seconds: int) -> int:
        """`docker stop`; the exit code."""
        self.call("stop", "-t", str(seconds), self.id)
        return int(self.inspect("State", "ExitCode"))

    def call(self, *words: str) -> str:
        done = self.docker.call(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait_until(self, what: str, seen: Callable[[], bool], seconds: float, ends: bool = False) -> None:
        def over() -> str:
            return "" if ends or self.runs() else "The container has ended."

        try:
            wait(Condition(what, seen, seconds), end_reason=over, interval=0.5)
        except NotProven as error:
            raise NotProven(f"{error.message}\n{self.said()[-6000:]}", error.hint) from None

    def wait_for_text(self, text: str, seconds: float = RUN_SECONDS) -> None:
        self.wait_until(f"it says {text!r}", lambda: text in self.said(), seconds)


@contextmanager
def started(
    docker: Docker,
    *options: str,
    image: str = IMAGE,
    command: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[Container]:
    """`docker run -d`, until the block ends."""
    variables = [word for name, value in (env or {}).items() for word in ("-e", f"{name}={value}")]
    done = docker.call("run", "-d", *options, *variables, image, *command)
    assert done.returncode == 0, done.stderr
    with until_the_end(Container(docker, done.stdout.strip())) as container:
        yield container


@contextmanager
def documented(docker: Docker, folder: Path, **variables: str) -> Iterator[Container]:
    """The line of PROMINENCE's document as it is, run by a shell in `folder`, which has token.jwt."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    client = programs / "docker"
    client.write_text("#!/bin/sh\nexec " + " ".join(docker.argv()) + ' "$@"\n')
    client.chmod(0o755)
    env = {**os.environ, **variables, "PATH": f"{programs}:{os.environ['PATH']}"}
    line = ["sh", str(DOCUMENTED)]
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with until_the_end(Container(docker, done.stdout.strip())) as container:
        yield container


@contextmanager
def until_the_end(container: Container) -> Iterator[Container]:
    try:
        yield container
    finally:
        container.docker.call("rm", "--force", "--volumes", container.id)


def by_name(*lives: Life) -> dict[str, Life]:
    return {life.__name__: life for life in lives}


@contextmanager
def side_by_side(
    lives: Mapping[str, Life], docker: Docker, pool: Pool, folders: Callable[[str], Path]
) -> Iterator[dict[str, Future[None]]]:
    """Some at the same time, as they mostly wait; each is looked after by a thread."""

    def here() -> Here:
        made = Here(docker, pool, folders("life"))
        write_token(made.token, pool)
        return made

    with ThreadPoolExecutor(AT_ONCE) as threads:
        yield {name: threads.submit(life, here()) for name, life in lives.items()}


def write_token(path: Path, pool: Pool) -> None:
    """A token of some user, readable by all, as curl leaves it."""
    path.write_text(pool.worker_token() + "\n")
    path.chmod(0o644)
    os.chown(path, 1000, 1000)


def asked_for(request: pytest.FixtureRequest, names: Iterable[str]) -> list[str]:
    """Those of these parameters whose tests are run: nothing is done for the others."""
    wanted = {item.name.partition("[")[2].rstrip("]") for item in request.session.items}
    return [name for name in names if name in wanted]


def variables(cloud: str, **more: str) -> dict[str, str]:
    """Those that a worker of the pool requires, and more of them in lower case and without PROMINENCE_."""
    given = {"cloud": cloud, "region": "Here", "node_group": "Bakers", "collector": ADDRESS, **more}
    return {f"PROMINENCE_{name.upper()}": value for name, value in given.items()}


def mounted(token: Path) -> tuple[str, str]:
    """The option by which the documented line mounts a token."""
    return ("-v", f"{token}:/etc/condor/tokens.d/token.jwt")


def joined(pool: Pool, cloud: str) -> bool:
    return bool(pool.slot_attributes(cloud, "Name", name_attribute=CLOUD))


def wait_joined(container: Container, pool: Pool, cloud: str) -> None:
    container.wait_until(f"the pool shows {cloud}", lambda: joined(pool, cloud), RUN_SECONDS)


def wait_job(
    pool: Pool, container: Container, job: str, status: str = COMPLETED, seconds: float = 300
) -> None:
    def now() -> bool:
        found = pool.job_attributes(job, "JobStatus")
        assert found != [HELD], pool.job_attributes(job, "HoldReason")
        return found == [status]

    container.wait_until(f"JobStatus of {job} is {status}", now, seconds)


def of_cluster(name: str) -> dict[str, str]:
    """Commands of a job that only a worker with this PROMINENCE_JOB_ID is to run."""
    return {"+ProminenceWantCluster": f'"{name}"', "requirements": f'TARGET.{CLOUD} == "{name}"'}


def wait_idle_end(container: Container) -> None:
    """Until it has ended because it was idle, with 0.

    Its own IdleTimeout is long, as its jobs may come late on a busy machine; now they are done.
    test_docker_ends.py has a worker with a short one.
    """
    shorten = f"echo '{SOON}' >/etc/condor/config.d/95-test.config && condor_reconfig -daemon startd"
    container.exec("sh", "-c", shorten)
    assert container.wait(RUN_SECONDS) == 0
    assert "HTCondor exited after IdleTimeout: ending the container" in container.said()


def refused(docker: Docker, *options: str, **env: str) -> str:
    """What a container says that starts nothing."""
    with started(docker, *options, env=env) as container:
        assert container.wait(120) == 2, container.said()
        said = container.said()
        logs = docker.call("diff", container.id).stdout
    assert "HTCondor was not started" in said
    assert "eyJ" not in said
    assert "MasterLog" not in logs
    return said


def owner_and_mode(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode & 0o7777


def told(container: Container, *options: str) -> dict[str, Any]:
    """By `worker-image status`."""
    said: dict[str, Any] = json.loads(container.exec("worker-image", "status", "--json", options=options))
    return said
