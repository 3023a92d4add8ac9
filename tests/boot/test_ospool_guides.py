"""25 jobs in the manner of the OSPool's user guides (tests/ospool), on a worker of --with ospool.

A real access point with the OSPool's transforms makes each job's ad, a real startd the worker's. HTCondor's
library matches the two; then the jobs are released, and the negotiator has to give the same answers. What
matches runs, containers included. The stand-ins (CVMFS's package, Pelican's plugin, a registry) and the
image are those of tests/integration/worker/test_ospool_jobs.py.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import classad2  # type: ignore[import-untyped]  # the wheel has no types
import pytest

from bakery.machines.machine import Machine
from bakery.machines.namespace import NamespaceMachine
from bakery.machines.needs import Image
from bakery.machines.network import Network, isolated
from bakery.userdata.rendering import WorkerConf
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import SUBMITTER, Pool
from tests.boot.life import conf, configure, explained, machines
from tests.conftest import BASE, Folders, command
from tests.integration.worker.test_ospool_jobs import ospool_image, ospool_root
from tests.integration.worker.test_worker_jobs import JOBS

__all__ = ["ospool_image", "ospool_root"]  # fixtures

GUIDES = Path(__file__).parent.parent / "ospool"
ANSWERS: Mapping[str, dict[str, Any]] = tomllib.loads((GUIDES / "answers.toml").read_text())
RUN = [name for name, row in ANSWERS.items() if row["answer"] == "runs"]
REFUSED = [name for name, row in ANSWERS.items() if row["answer"] == "no"]
GROUP, WAIT = "Of the guides", 240
IMAGE = "/opt/cvmfs/singularity.opensciencegrid.org/guides/small:1"  # where the stand-in has it
OSDF = "/opt/osdf/ospool/ap21/data/grace"
HOME = f"/home/{SUBMITTER}/guides"
# One that says no more of itself.
GPU = """\
MACHINE_RESOURCE_INVENTORY_GPUs =
MACHINE_RESOURCE_GPUs = CUDA0
"""
# HTCondor tries apptainer and the plugin at its start; so all of it is there before.
PREPARE = f"""\
set -eu
systemctl restart autofs
mkdir -p {OSDF} /opt/osdf/pelicanplatform/test
chmod 777 {OSDF}
sh /run/make-image.sh {OSDF}/small.sif {IMAGE}
echo 1 2 3 >{OSDF}/numbers.txt
echo hello >/opt/osdf/pelicanplatform/test/hello-world.txt
systemd-run --quiet --unit registry python3 /run/registry-stand-in.py {IMAGE}
"""


@dataclass(frozen=True)
class Asked:
    """The jobs by their names, and what they and the worker are, by HTCondor's own ads."""

    machine: Machine
    pool: Pool
    ids: Mapping[str, str]
    jobs: Mapping[str, classad2.ClassAd]
    slot: classad2.ClassAd


@pytest.fixture(scope="module")
def apart(root_only: None, folders: Folders) -> Iterator[Network]:
    with isolated(folders("network")) as made:
        yield made


@pytest.fixture(scope="module")
def access_point(ospool_root: Path, apart: Network, folders: Folders) -> Iterator[Pool]:
    with pools.start_in_sandbox(ospool_root, folders("pool"), apart, "ospool") as up:
        yield up


@pytest.fixture(scope="module")
def machine(
    ospool_image: Path,
    ospool_root: Path,
    apart: Network,
    access_point: Pool,
    folders: Folders,
) -> Iterator[NamespaceMachine]:
    image = Image(ospool_image, ospool_root, BASE.login)
    with machines(image, apart, folders("machines")) as start:
        up = start("guides")
        assert isinstance(up, NamespaceMachine)
        up.wait_booted()
        up.put("/etc/condor/config.d/96-test.config", GPU.encode())
        for name in ("make-image.sh", "registry-stand-in.py"):
            up.put(f"/run/{name}", (JOBS / name).read_bytes(), 0o755)
        up.run(["sh", "-c", PREPARE], seconds=240)
        configure(up, told(access_point))
        yield up


def told(pool: Pool) -> WorkerConf:
    plain = conf(pool, GROUP, "TG-GUIDES", idle=3600)
    shape = pool.shape
    more = {
        "CCBAddress": ",".join(shape.brokers),
        "TrustDomain": shape.trust_domain,
        "SiteName": "Guide-Site",
        "MaxLifetime": "86400",
        "GpuJobsOnly": "no",
    }
    # Whose jobs it takes is the OSPool's affair here.
    return replace(
        plain, start="True", central_manager=",".join(shape.managers), settings={**plain.settings, **more}
    )


@pytest.fixture(scope="module")
def asked(access_point: Pool, machine: NamespaceMachine) -> Iterator[Asked]:
    """All of them in the queue, on hold."""
    folder = access_point.root / HOME[1:]
    folder.mkdir()
    for path in GUIDES.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.name).chmod(0o755)
    image = Path(f"/proc/{machine.init_pid()}/root{OSDF}/small.sif")
    (folder / "small.sif").write_bytes(image.read_bytes())
    access_point._tool("chown", "-R", SUBMITTER, HOME)
    ids = {name: submitted(access_point, name) for name in ANSWERS}
    machine.wait_until("the worker says what it has", lambda: settled(access_point), WAIT)
    jobs = {name: classad2.parseOne(access_point._tool("condor_q", "-long", ids[name])) for name in ids}
    yield Asked(machine, access_point, ids, jobs, slot_ad(access_point))
    access_point._tool("condor_rm", "-all", expect=(0, 1))


def submitted(pool: Pool, name: str) -> str:
    command = f"cd {HOME} && exec condor_submit -terse -append hold=true {name}.sub"
    return pool._tool("su", SUBMITTER, "-s", "/bin/sh", "-c", command).split()[0]


def slot_ad(pool: Pool) -> classad2.ClassAd:
    return classad2.parseOne(pool._tool("condor_status", *pool._query(GROUP, pools.GROUP), "-long"))


def settled(pool: Pool) -> bool:
    slot = slot_ad(pool)
    return bool(slot.get("HAS_SINGULARITY")) and slot.get("NODE_IS_HEALTHY") is True


@pytest.fixture(scope="module")
def released(asked: Asked) -> int:
    """When, in seconds since 1970."""
    now = int(time.time())
    asked.pool._tool("condor_release", "-all")
    return now


def test_there_is_an_answer_for_each_description() -> None:
    assert {path.stem for path in GUIDES.glob("*.sub")} == set(ANSWERS)
    assert len(ANSWERS) == 25
    assert len(RUN) >= 10


@pytest.mark.parametrize("name", ANSWERS)
def test_the_two_ads_match_as_they_should(asked: Asked, name: str) -> None:
    job, slot, row = asked.jobs[name], asked.slot, ANSWERS[name]
    # `one.matches(other)`: does it meet the Requirements of the other?
    unmet = [who for who, met in (("job", slot.matches(job)), ("worker", job.matches(slot))) if not met]
    assert unmet == row.get("refused_by", []), str(job["Requirements"])
    assert job.symmetricMatch(slot) == (row["answer"] != "no")


def test_the_access_point_did_as_the_ospool_s(asked: Asked) -> None:
    jobs = asked.jobs
    assert jobs["plain"]["JobDurationCategory"] == "Medium"
    assert jobs["long"]["JobDurationCategory"] == "Long"
    old = jobs["image-osdf"]
    url = "osdf:///ospool/ap21/data/grace/small.sif"
    assert (old["SingularityImage"], old["orig_SingularityImage"], old["TransferInput"]) == (
        "small.sif", url, url,
    )  # fmt: skip
    needs = ("HasSingularity", "SINGULARITY_CAN_USE_SIF", 'stringListIMember("osdf"')
    assert all(one in str(old["Requirements"]) for one in needs)
    assert "HAS_SINGULARITY" in str(jobs["image-cvmfs"]["Requirements"])
    assert jobs["image-docker"]["DockerRegistry"] == "127.0.0.1"


@pytest.mark.parametrize("name", RUN)
def test_what_matches_runs(asked: Asked, released: int, name: str) -> None:
    pool, job = asked.pool, asked.ids[name]
    ends = (pools.COMPLETED, pools.HELD)
    with explained(pool, job):
        status = asked.machine.wait_until(
            f"{name} ends", lambda: pool.job_attributes(job, "JobStatus")[0], WAIT, lambda now: now in ends
        )
    assert status == pools.COMPLETED, pool.job_attributes(job, "HoldReason")
    cluster = job.split(".")[0]
    out, err = ((pool.root / HOME[1:] / f"job.{cluster}.{end}").read_text() for end in ("out", "err"))
    assert (sorted(out.splitlines()), err) == (sorted(ANSWERS[name]["prints"]), "")
    if name == "osdf-output":
        assert asked.machine.output("cat", f"{OSDF}/made.{cluster}.txt") == "made"


@pytest.mark.parametrize("name", REFUSED)
def test_the_negotiator_refuses_the_others(asked: Asked, released: int, name: str) -> None:
    job = asked.ids[name]
    asked.machine.wait_until(
        f"{name} is refused",
        lambda: asked.pool.job_state(job),
        WAIT,
        lambda seen: seen.is_rejected(released),
    )


@pytest.mark.full
def test_such_an_image_passes_its_proof_in_the_ospool_s_shape(ospool_image: Path) -> None:
    """Its jobs ask for what only a worker with this role says."""
    like = ("--machine", "namespace", "--pool-shape", "ospool")
    done = command("worker-bakery", "verify", str(ospool_image), *like)
    assert done.status == 0, done.err[-6000:]
