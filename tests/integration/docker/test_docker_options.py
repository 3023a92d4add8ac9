"""Options of `docker run` that restrict a container, and what a worker makes of each.

docs/how-to/containers.md has the table of them. Workers that only have to join do so side by side.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.machines.network import Network
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.process import run
from tests.conftest import Folders
from tests.integration import docker_here
from tests.integration.docker.conftest import load
from tests.integration.docker.containers import (
    AT_ONCE,
    CLOUD,
    IMAGE,
    RUN_SECONDS,
    Container,
    asked_for,
    mounted,
    started,
    variables,
    wait_job,
    wait_joined,
)
from tests.integration.docker_here import Docker, Host

READ_ONLY = ("--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp")
LEAST = tuple(
    f"--cap-add={name}" for name in ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")
)
NO_NEW = ("--security-opt", "no-new-privileges")
OF_A_USER = ("--user", "worker", "--cap-drop=ALL", *NO_NEW)
# By each of these a job runs, as this account; "slot" is that of the slot, slot1 for the first job.
WORKING: dict[str, tuple[tuple[str, ...], str]] = {
    "read-only": (READ_ONLY, "slot"),
    "least-capabilities": (("--cap-drop=ALL", *LEAST, *NO_NEW), "slot"),
    "user": (OF_A_USER, "worker"),
    "user-read-only": ((*OF_A_USER, "--read-only", "--tmpfs", "/tmp:exec"), "worker"),
    "init": (("--init",), "slot"),
    "small": (("--memory=1g", "--cpus=1.5", "--pids-limit=200"), "slot"),
}
# "user-read-only" has the options of "user", too; the worker reaps its processes with --init or without.
RARELY = ("user", "init")
REFUSED = {
    ("--cap-drop=ALL",): "has no capability CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID; add "
    f"{' '.join(LEAST)}, or run it as --user worker",
    ("--read-only",): "/run and /tmp cannot be written; add --tmpfs /run --tmpfs /tmp",
    (
        "--user",
        "worker",
        "--tmpfs",
        "/tmp",
    ): "/tmp/worker-bakery-1000 is on a file system that is mounted noexec, "
    "on which no job runs; set WORKER_BAKERY_HOME to another directory",
    ("--user", "4711"): "HTCondor requires an account, and the user number 4711 has none here",
}


@dataclass(frozen=True)
class Seen:
    """Of a container with an option, after its job and its end."""

    output: str
    said: str
    slot: str
    code: int


@pytest.fixture(scope="module")
def tokens(pool: Pool, folders: Folders) -> dict[str, Path]:
    """That of root, and that of the account of --user."""
    found = {}
    for name, owner in (("root", 0), ("worker", 1000)):
        path = folders("tokens") / name
        path.write_text(pool.worker_token())
        path.chmod(0o600)
        os.chown(path, owner, owner)
        found[name] = path
    return found


@pytest.fixture(scope="module")
def seen(
    docker: Docker, pool: Pool, tokens: dict[str, Path], request: pytest.FixtureRequest
) -> Iterator[dict[str, Seen]]:
    """What came of each of WORKING that is asked for: some run at the same time."""
    names = asked_for(request, WORKING)
    jobs = {name: pool.submit(name, "", "#!/bin/sh\nid -un\npwd\n", on(name)) for name in names}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = {name: threads.submit(outcome, docker, pool, tokens, name, jobs[name]) for name in names}
        yield {name: each.result() for name, each in found.items()}


def on(cloud: str) -> dict[str, str]:
    return {"requirements": f'TARGET.{CLOUD} == "{cloud}"'}


def outcome(docker: Docker, pool: Pool, tokens: dict[str, Path], name: str, job: str) -> Seen:
    options, account = WORKING[name]
    env = variables(name)
    if account == "worker":
        given, env["PROMINENCE_TOKEN_FILE"] = ("-v", f"{tokens[account]}:/token"), "/token"
    else:
        given = mounted(tokens["root"])
    with started(docker, "--hostname", name, *given, *options, env=env) as container:
        wait_job(pool, container, job)
        slot = pool.slot_attributes(name, "TotalCpus", "TotalMemory", name_attribute=CLOUD)[0]
        alive = ("/usr/lib/worker-bakery/worker", "alive")
        container.wait_until("it is healthy", lambda: container.does(*alive), RUN_SECONDS)
        code = container.stop(100)
        return Seen(pool.output(name), container.said(), slot, code)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.full] if name in RARELY else []) for name in WORKING],
)
def test_a_worker_of_this_option_runs_a_job_and_ends_in_order(name: str, seen: dict[str, Seen]) -> None:
    found = seen[name]
    assert found.output.splitlines()[0].rstrip("0123456789") == WORKING[name][1]
    assert found.code == 0, found.said
    assert "Traceback" not in found.said
    assert "eyJ" not in found.said


@pytest.mark.parametrize("name", ["small"])
def test_the_limits_of_a_container_are_those_of_htcondor(name: str, seen: dict[str, Seen]) -> None:
    """A fraction of a CPU is not used; a quarter of the memory is kept for HTCondor itself."""
    assert "this container has CPUs: 1, memory: 1024 MiB" in seen[name].said
    assert seen[name].slot == "1.0 768"


@pytest.mark.parametrize("options", REFUSED)
def test_an_option_that_leaves_a_worker_too_little(
    options: tuple[str, ...], docker: Docker, tokens: dict[str, Path]
) -> None:
    with started(docker, *mounted(tokens["root"]), *options, env=variables("refused")) as container:
        assert container.wait(300) == 2
        assert REFUSED[options] in container.said()
        assert "Traceback" not in container.said()


def test_a_folder_for_jobs_that_is_closed(docker: Docker, tokens: dict[str, Path], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    os.chown(closed, 4711, 4711)
    options = (*mounted(tokens["root"]), "-v", f"{closed}:/home")
    with started(docker, *options, env=variables("refused")) as container:
        assert container.wait(300) == 2
        said = "/home: HTCondor and its jobs cannot enter it (mode 0700, owner 4711); run chmod 755 on what"
        assert f"HTCondor was not started: {said}" in container.said()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_log_folder_of_somebody_else_is_given_to_htcondor(
    docker: Docker, pool: Pool, tokens: dict[str, Path], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o700)
    os.chown(logs, 4711, 4711)
    options = (*mounted(tokens["root"]), "-v", f"{logs}:/var/log/condor")
    with started(docker, *options, env=variables("logs")) as container:
        wait_joined(container, pool, "logs")
        assert "condor" in container.exec("stat", "-c", "%U", "/var/log/condor")
        assert logs.stat().st_mode & 0o777 == 0o750
        assert (logs / "MasterLog").exists()


def test_a_log_folder_that_cannot_be_written(
    docker: Docker, tokens: dict[str, Path], tmp_path: Path
) -> None:
    options = (*mounted(tokens["root"]), "-v", f"{tmp_path}:/var/log/condor:ro")
    with started(docker, *options, env=variables("refused")) as container:
        assert container.wait(300) == 2
        assert "/var/log/condor: Read-only file system" in container.said()
        assert "Traceback" not in container.said()


TOO_MUCH = """#!/bin/sh
echo began
exec python3 -c 'x = bytearray(1 << 30); print("got it")'
"""


def test_a_job_that_takes_all_memory_of_the_container_ends_and_the_worker_stays(
    docker: Docker, pool: Pool, tokens: dict[str, Path]
) -> None:
    options = (*mounted(tokens["root"]), "--memory=600m", "--memory-swap=600m")
    with started(docker, *options, env=variables("memory")) as container:
        job = pool.submit("memory", "", TOO_MUCH, on("memory"))
        wait_job(pool, container, job)
        assert "got it" not in pool.output("memory")
        assert pool.job_attributes(job, "ExitBySignal", "ExitSignal") == ["true", "9"]
        after = pool.submit("after", "", "#!/bin/sh\necho fine\n", on("memory"))
        wait_job(pool, container, after)
        assert pool.output("after") == "fine\n"


FORKS = """#!/bin/sh
exec 2>/dev/null
for i in $(seq 500); do sleep 20 & done
echo $(ls /proc | grep -c '^[0-9]')
"""


@pytest.mark.full
def test_a_job_that_forks_without_end_meets_the_limit_of_the_container(
    docker: Docker, pool: Pool, tokens: dict[str, Path]
) -> None:
    options = (*mounted(tokens["root"]), "--pids-limit=150")
    with started(docker, *options, env=variables("forks")) as container:
        job = pool.submit("forks", "", FORKS, on("forks"))
        wait_job(pool, container, job)
        after = pool.submit("after-forks", "", "#!/bin/sh\necho fine\n", on("forks"))
        wait_job(pool, container, after)
        assert pool.output("after-forks") == "fine\n"
        assert container.stop(100) == 0


@pytest.mark.full  # a second daemon, which has its own copy of the image
def test_with_user_namespaces_root_of_the_container_is_nobody_on_the_host(
    pool: Pool, network: Network, archive: Path, tokens: dict[str, Path], folders: Folders
) -> None:
    first = 300_000
    mine = folders("remapped") / "token"
    mine.write_text(pool.worker_token())
    mine.chmod(0o600)
    with open_folder() as folder, docker_here.daemon(folder, Host(network, remapped=first)) as docker:
        load(docker, archive, IMAGE)
        refused = (*mounted(mine), "--hostname", "remapped")
        with started(docker, *refused, env=variables("remapped")) as container:
            assert container.wait(300) == 2
            assert "token.jwt: Permission denied" in container.said()
        os.chown(mine, first, first)
        with started(docker, *refused, env=variables("remapped")) as container:
            job = pool.submit("remapped", "", "#!/bin/sh\nid -un; id -u\n", on("remapped"))
            wait_job(pool, container, job)
            assert pool.output("remapped").splitlines()[0] == "slot1"
            assert owner(container) == first
            assert container.stop(100) == 0


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, as the daemon demands; those of pytest are closed."""
    made = Path(tempfile.mkdtemp(prefix="docker-remapped.", dir="/var/tmp"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        run.call(["rm", "-rf", "--one-file-system", str(made)])


def owner(container: Container) -> int:
    """Of the container's first process, on the host."""
    return Path(f"/proc/{host_pid(container)}").stat().st_uid


def host_pid(container: Container) -> int:
    """The daemon counts its processes in a namespace of its own."""
    inside = str(container.inspect("State", "Pid"))
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            row = next(line for line in path.read_text().splitlines() if line.startswith("NSpid:"))
        except (OSError, StopIteration):
            continue
        if row.split()[2:3] == [inside]:
            return int(path.parent.name)
    raise AssertionError(f"no process {inside}")
