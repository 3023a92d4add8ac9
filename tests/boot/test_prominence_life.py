"""Workers of PROMINENCE against a real pool: what they say, what they take, and when they go.

They mostly wait, so several live at the same time, each looked after by a thread. Without a job id
such a worker takes everybody's jobs; here the site's own hook keeps it to those of its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.machines.machine import ANY_STATUS, Machine
from bakery.machines.needs import Image
from bakery.machines.network import Network, isolated
from bakery.userdata.rendering import quoted
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import ADDRESS, COMPLETED, TRUST_DOMAIN, Pool, classad_string
from tests.boot.life import JOB, JOIN, machines, real_rounds, started_at, wait_job, wait_refused

Boot = Callable[[str], Machine]
CONF, TOKEN = "/etc/prominence-worker.conf", "/etc/condor/tokens.d/token.jwt"
HOSTILE, BACKSLASH = 'the "cloud" of $(touch /ran) `x` é', "a\\n"
OFF = 240  # seconds, where the deadline itself is some 20
SLOTS = 128


@pytest.fixture
def start(network: Network, prominence_image: Image, tmp_path: Path) -> Iterator[Boot]:
    """Machines of these names, until the test ends; each with a guard of the site's."""
    with machines(prominence_image, network, tmp_path) as plain:
        yield lambda name: guarded(plain(name), name)


@dataclass(frozen=True)
class Apart:
    """A pool for one test alone, and machines on its network."""

    pool: Pool
    start: Boot


@pytest.fixture
def apart(prominence_image: Image, tmp_path: Path) -> Iterator[Apart]:
    for name in ("network", "pool"):
        (tmp_path / name).mkdir()
    with (
        isolated(tmp_path / "network") as network,
        pools.start_in_sandbox(prominence_image.root, tmp_path / "pool", network) as pool,
        machines(prominence_image, network, tmp_path) as plain,
    ):
        yield Apart(pool, lambda name: guarded(plain(name), name))


def guarded(machine: Machine, name: str) -> Machine:
    machine.wait_booted()
    guard = f'WORKER_GUARDS = TARGET.ProjectName == "{project(name)}"\n'
    machine.put("/etc/condor/config.d/50-site.config", guard.encode())
    return machine


def project(name: str) -> str:
    """Of the machines node0, node1 and so on it is the same."""
    return "TG-" + name.rstrip("0123456789").upper()


def told(pool: Pool, cloud: str, **more: object) -> str:
    """A worker's file; keys that are not given here have the values that make it work."""
    values = {
        "CLOUD": cloud, "REGION": "here", "NODE_GROUP": "others", "COLLECTOR": ADDRESS,
        "WORKER_TOKEN": pool.worker_token(), **more,
    }  # fmt: skip
    return "".join(f"PROMINENCE_{key}={quoted(str(value))}\n" for key, value in values.items())


def configure(machine: Machine, text: str) -> None:
    machine.put(CONF, text.encode(), 0o600)


def says(machine: Machine, text: str, seconds: float = 120) -> None:
    machine.wait_for_console_text(text, seconds)


def wait_joined(machine: Machine, pool: Pool, cloud: str) -> None:
    def seen() -> bool:
        return bool(pool.status(cloud, "ProminenceCloud"))

    machine.wait_until(f"the collector knows of {cloud}", seen, JOIN)


def a_life_from_mistakes_to_the_idle_end(start: Boot, pool: Pool) -> None:
    machine = start("whole")
    configure(machine, "PROMINENCE_REGION=\nPROMINENCE_IDLE_TIMEOUT=soon\nPROMINENCE_JOB_ID='\"'\n")
    said = (
        "PROMINENCE_CLOUD is missing", "PROMINENCE_REGION is empty", "PROMINENCE_NODE_GROUP is missing",
        "PROMINENCE_COLLECTOR is missing", 'PROMINENCE_JOB_ID contains a " or a backslash',
        "PROMINENCE_IDLE_TIMEOUT is not a whole number of seconds between 0 and 31622400",
        f"PROMINENCE_TOKEN_FILE {TOKEN} does not exist",
    )  # fmt: skip
    says(machine, f"prominence-worker: HTCondor was not started. Correct {CONF}")
    console = machine.console_text()
    assert [line for line in said if f"prominence-worker: {CONF}: {line}\n" not in console] == []
    assert not machine.succeeds("systemctl", "is-active", "condor.service")
    machine.put(TOKEN, pool.worker_token().encode(), 0o644)
    configure(
        machine,
        told(pool, HOSTILE, NODE_GROUP="bakers", REGION=BACKSLASH, WORKER_TOKEN=""),
    )
    wait_joined(machine, pool, HOSTILE)
    # Others could read it.
    assert machine.run(["stat", "--format=%U %a", TOKEN]).stdout == "root 600\n"
    names = ("ProminenceCloud", "ProminenceRegion", "ProminenceNodeGroup")
    [advertised, *_] = pool.slot_attributes("bakers", *names, name_attribute=names[2])
    # A backslash stands for itself.
    assert advertised == " ".join([classad_string(HOSTILE), f'"{BACKSLASH}"', '"bakers"'])
    job = pool.submit("whole", project("whole"), "#!/bin/sh\npwd; id -un; ls -d /home/prominence/images\n")
    wait_job(machine, pool, job)
    folder, user, images = pool.output("whole").split()
    assert (folder.startswith("/home/prominence/condor/dir_"), images) == (True, "/home/prominence/images")
    assert user.startswith("slot") and user != "slot0"
    configure(
        machine,
        told(pool, HOSTILE, NODE_GROUP="bakers", REGION=BACKSLASH, WORKER_TOKEN="", IDLE_TIMEOUT=20),
    )
    machine.wait_powered_off(OFF)
    assert "stopping: HTCondor exited after IdleTimeout" in machine.console_text()
    assert "eyJ" not in machine.console_text()


def one_job_only(start: Boot, pool: Pool) -> None:
    machine, wanted = start("single"), "uuid-1700000000"
    script = "#!/bin/sh\necho done\n"
    jobs = {
        job_id: pool.submit(f"single-{job_id}", project("single"), script, of_id(job_id))
        for job_id in ("", "uuid-1700000001", wanted)
    }
    configure(machine, told(pool, "single", JOB_ID=wanted))
    taken = jobs.pop(wanted)
    wait_job(machine, pool, taken)
    for job in jobs.values():
        wait_refused(machine, pool, job, started_at(pool, taken))
        pool.remove(job)


def of_id(job_id: str) -> dict[str, str]:
    return {"+ProminenceWantCluster": classad_string(job_id)} if job_id else {}


def an_expired_token_is_told_of(start: Boot, pool: Pool) -> None:
    machine = start("expired")
    late = pool.worker_token(lifetime=-60)
    configure(machine, told(pool, "expired", WORKER_TOKEN=late, JOIN_TIMEOUT=15))
    machine.wait_powered_off(OFF)
    said = "prominence-worker: stopping: JoinTimeout expired, not in the pool: the token expired on"
    assert said in machine.console_text()
    assert not pool.status("expired", "ProminenceCloud")


# A minute of CPU for 128 jobs at once; test_resources.py has the number of accounts.
@pytest.mark.full
def test_more_slots_than_the_original_had_accounts(apart: Apart) -> None:
    """In a pool of their own, which ends with them: to remove so many jobs takes longer than they run."""
    machine, pool = apart.start("wide"), apart.pool
    more = f"NUM_CPUS = {SLOTS}\n"
    machine.put("/etc/condor/config.d/51-site.config", more.encode())
    configure(machine, told(pool, "wide"))
    waiting = "#!/bin/sh\nexec sleep 3600\n"
    pool.submit("wide", project("wide"), waiting, {"request_disk": "1024"}, count=SLOTS)

    def claimed() -> int:
        return (
            pool.slot_attributes("wide", "State", name_attribute="ProminenceCloud").count('"Claimed"') - 1
        )

    machine.wait_until(f"{SLOTS} slots are claimed", claimed, 600, lambda count: count >= SLOTS - 1)
    users = machine.wait_until(
        "each has a user", lambda: sleepers(machine), 300, lambda users: len(users) == SLOTS
    )
    assert "slot0" not in users


def sleepers(machine: Machine) -> set[str]:
    return set(machine.run(["ps", "-C", "sleep", "-o", "user:12="], expect=ANY_STATUS).stdout.split())


Life = Callable[[Boot, Pool], None]
TOGETHER: tuple[Life, ...] = (
    a_life_from_mistakes_to_the_idle_end,
    one_job_only,
    an_expired_token_is_told_of,
)


def test_lives(start: Boot, pool: Pool) -> None:
    with ThreadPoolExecutor() as threads:
        lived = {life.__name__: threads.submit(life, start, pool) for life in TOGETHER}
    failed = [f"{name}: {life.exception()!r}" for name, life in lived.items() if life.exception()]
    assert not failed, "\n".join(failed)


def test_a_parallel_job_and_an_ordinary_one(apart: Apart) -> None:
    """In a pool of their own: jobs and workers that are being ended disturb a dedicated scheduler."""
    runs_parallel_and_ordinary_jobs([apart.start(name) for name in ("node0", "node1")], apart.pool)


def runs_parallel_and_ordinary_jobs(nodes: list[Machine], pool: Pool) -> None:
    for machine in nodes:
        # Small ones, so that the half of the pool that is a second submitter's share is enough for both.
        machine.put("/etc/condor/config.d/40-test.config", b"NUM_CPUS = 1\n", 0o644)
        configure(machine, told(pool, "parallel", SCHEDD_NAME=TRUST_DOMAIN, LOGIN_GRACE=0))
        says(machine, "idle: no slot is claimed")
    script = "#!/bin/sh\necho $(uname -n); sleep 2\n"
    # All CPUs, so that two nodes of a job cannot be on one machine.
    both = {
        "universe": "parallel", "machine_count": "2", "request_cpus": "1",
        "output": "job.out.$(Node)", "+WantParallelSchedulingGroups": "True",
        # By default a job ends with its first node, and what the others say may be lost.
        "+ParallelShutdownPolicy": '"WAIT_FOR_ALL"',
    }  # fmt: skip
    # First, because a dedicated scheduler keeps what it has claimed for ten minutes more.
    ordinary = pool.submit("beside", project("node"), script)
    assert wait_job(nodes[0], pool, ordinary) == COMPLETED
    assert pool.output("beside").strip() in ("node0", "node1")
    job = pool.submit("parallel", project("node"), script, both)
    with real_rounds(pool):
        assert wait_job(nodes[0], pool, job, seconds=2 * JOB) == COMPLETED
    folder = pool.root / "home/submitter/parallel"
    assert sorted(path.read_text() for path in folder.glob("job.out.*")) == ["node0\n", "node1\n"]
    [advertised, *_] = pool.slot_attributes(
        "parallel", "DedicatedScheduler", name_attribute="ParallelSchedulingGroup"
    )
    assert advertised == f'"DedicatedScheduler@{TRUST_DOMAIN}"'
    # Nobody told them to go.
    assert all(machine.is_on() for machine in nodes)
