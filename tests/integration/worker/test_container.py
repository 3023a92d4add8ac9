"""The container image, opened by buildah, and started as the worker's first users start it.

tests/golden/container/docker-run.sh is the command of their documentation, word for word.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import Network, isolated
from bakery.output.oci import layer
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import ADDRESS, TRUST_DOMAIN, Pool
from provisioner.process import run
from tests.boot.life import real_rounds
from tests.conftest import Folders, command
from tests.integration.containers import Container, DockerRun, limited, parse, started

DOCKER_RUN = Path(__file__).parent.parent.parent / "golden/container/docker-run.sh"
REQUIRED = ("PROMINENCE_CLOUD", "PROMINENCE_REGION", "PROMINENCE_NODE_GROUP", "PROMINENCE_COLLECTOR")
JOB_ID = "5e1f-1700000000"
COMPLETED = "4"
CLOUD = "ProminenceCloud"
CGROUP_V1 = all(Path("/sys/fs/cgroup", name).is_dir() for name in ("cpu", "memory"))
TAKEN_UP = "HTCondor loads the new configuration"
AS_A_JOB = ("setpriv", "--reuid=slot1", "--regid=slot1", "--clear-groups")
JOBS = Path(__file__).parent.parent / "jobs"
# A job that runs a container by udocker, and what the program in there says.
CONTAINED = {"request_disk": "100000", "requirements": "TARGET.HasUdocker"}
IN_THE_IMAGE = ["in the image", "not on the machine", "0"]


@dataclass(frozen=True)
class Buildah:
    """With a store of its own."""

    folder: Path

    def __call__(self, *argv: str, expect: tuple[int, ...] = (0,)) -> run.Completed:
        store = ["--root", str(self.folder / "store"), "--runroot", str(self.folder / "run")]
        env = run.environment(TMPDIR=str(self.folder))
        return run.call(["buildah", *store, "--storage-driver=vfs", *argv], env=env, expect=expect)


@dataclass(frozen=True)
class Image:
    archive: Path
    name: str  # of buildah's container
    config: dict[str, Any]
    root: Path

    @property
    def entry(self) -> list[str]:
        return list(self.config["Entrypoint"])


@pytest.fixture(scope="module")
def archive(baked: dict[str, Any]) -> Path:
    done = command("bake-image", "--worker", "prominence", "--format", "oci", "--json")
    assert done.status == 0, done.err[-3000:]
    return Path(json.loads(done.out)["path"])


@pytest.fixture(scope="module")
def buildah(folders: Folders) -> Iterator[Buildah]:
    made = Buildah(folders("buildah"))
    yield made
    made("rm", "--all")
    made("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def image(archive: Path, buildah: Buildah) -> Image:
    pulled = buildah("pull", "-q", f"oci-archive:{archive}").stdout.strip()
    name = buildah("from", pulled).stdout.strip()
    told = json.loads(buildah("inspect", name).stdout)
    root = Path(buildah("mount", name).stdout.strip())
    return Image(archive, name, told["Docker"]["config"], root)


@pytest.fixture(scope="module")
def network(root_only: None, folders: Folders) -> Iterator[Network]:
    with isolated(folders("network")) as made:
        yield made


@pytest.fixture(scope="module")
def pool(network: Network, image: Image, folders: Folders) -> Iterator[Pool]:
    with pools.start_in_sandbox(image.root, folders("pool"), network) as up:
        yield up


def docker_run(pool: Pool, host: Path, **variables: str) -> DockerRun:
    """The documented command, on a host whose folders are in `host`, with a token as curl leaves it."""
    given = {
        "cloud": host.name,
        "region": "Here",
        "node_group": "Bakers",
        "condor_host": ADDRESS,
        "PWD": "/root",
    }
    for folder in ("var/log/condor", "opt/prominence", "root"):
        (host / folder).mkdir(parents=True)
    put_token(host / "root/token.jwt", pool.worker_token())
    return parse(DOCKER_RUN.read_text(), {**given, **variables}, host)


def put_token(path: Path, token: str) -> None:
    """Some user's, and readable by all, as curl leaves it."""
    path.write_text(token + "\n")
    path.chmod(0o644)
    os.chown(path, 1000, 1000)


def owner_and_mode(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, status.st_mode & 0o7777


@contextmanager
def worker(
    image: Image, options: DockerRun, folder: Path, network: Network, name: str = "container"
) -> Iterator[Container]:
    with started(image.root, image.entry, options, folder / name, network) as up:
        yield up


def joined(pool: Pool, cloud: str) -> bool:
    return bool(pool.slot_attributes(cloud, "Name", name_attribute=CLOUD))


def wait_job(pool: Pool, container: Container, job: str, seconds: float = 300) -> None:
    container.wait_until(
        f"job {job} is done", lambda: pool.job_attributes(job, "JobStatus") == [COMPLETED], seconds
    )


def told(container: Container, *by: str) -> dict[str, Any]:
    """By `worker-image status`."""
    said: dict[str, Any] = json.loads(container.exec([*by, "worker-image", "status", "--json"]).stdout)
    return said


def waited(container: Container, state: str, *by: str) -> bool:
    argv = [*by, "worker-image", "wait", "--for", state, "--timeout", "5s"]
    return container.exec(argv, expect=(0, 1)).status == 0


def unburied(container: Container) -> bool:
    return "Z" in container.exec(["ps", "-eo", "stat="]).stdout


def of_cluster(name: str) -> Mapping[str, str]:
    return {"+ProminenceWantCluster": f'"{name}"'}


def test_a_layer_is_the_same_whenever_it_is_written_and_keeps_owners_and_capabilities(
    tmp_path: Path,
) -> None:
    digests = set()
    for day in (1_800_000_000, 1_900_000_000):
        root, work = tmp_path / f"root-{day}", tmp_path / f"work-{day}"
        for folder in (root / "usr/bin", root / "dev", work):
            folder.mkdir(parents=True)
        for path in (root / "usr/bin/b", root / "usr/bin/a", root / "dev/left"):
            path.write_text(path.name)
        os.chown(root / "usr/bin/a", 4711, 4712)
        run.call(["setcap", "cap_net_raw=ep", str(root / "usr/bin/b")])
        os.link(root / "usr/bin/a", root / "usr/bin/hard")
        for path in (root, *root.rglob("*")):
            os.utime(path, (day, day))
        made = layer.write(root, work, 1_700_000_000)
        digests.add((made.digest, made.diff_id))
        with tarfile.open(made.path) as members:
            found = {member.name: member for member in members}
        assert (found["./usr/bin/a"].uid, found["./usr/bin/a"].gid) == (4711, 4712)
        assert found["./usr/bin/hard"].islnk()
        assert "SCHILY.xattr.security.capability" in found["./usr/bin/b"].pax_headers
        assert "./dev" in found
        assert "./dev/left" not in found
    assert len(digests) == 1


def test_buildah_and_docker_find_what_they_look_for(image: Image, buildah: Buildah, tmp_path: Path) -> None:
    config = image.config
    assert config["Entrypoint"] == ["/usr/lib/worker-bakery/worker", "run"]
    assert set(config["Volumes"]) == {"/home", "/var/log/condor"}
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/usr/lib/worker-bakery/worker", "alive"]
    assert config["Labels"]["org.opencontainers.image.version"] == image.archive.stem
    layout = tmp_path / "layout"
    done = command("bake-image", "--worker", "prominence", "--format", "oci", "-o", str(layout))
    assert done.status == 0, done.err
    tag = image.archive.stem.removeprefix("prominence-")
    # The same image, by each of the three ways.
    same = {
        buildah("pull", "-q", source).stdout.strip()
        for source in (
            f"docker-archive:{image.archive}",
            f"oci-archive:{image.archive}",
            f"oci:{layout}:{tag}",
        )
    }
    assert len(same) == 1
    assert (
        f"localhost/worker-bakery/prominence:{tag}"
        in buildah("images", "--format", "{{.Name}}:{{.Tag}}").stdout
    )


def test_buildah_starts_it_and_it_says_all_that_is_missing(image: Image, buildah: Buildah) -> None:
    entry = ["run", "--isolation", "chroot", image.name, "--", *image.entry]
    done = buildah(*entry, expect=(2,))
    said = done.stdout + done.stderr
    for name in REQUIRED:
        assert f"{name} is missing" in said
    assert "/etc/condor/tokens.d/token.jwt does not exist" in said
    assert "HTCondor was not started" in said


@pytest.mark.parametrize("name", REQUIRED)
def test_each_variable_that_is_required(
    name: str, image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    with worker(image, docker_run(pool, tmp_path).told(**{name: ""}), tmp_path, network) as container:
        assert container.wait(60) == 2
        said = container.said()
    assert f"{name} is empty" in said
    assert said.count(" is empty") == 1
    assert not (tmp_path / "var/log/condor/MasterLog").exists()


def test_values_and_tokens_that_cannot_be_used(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options = docker_run(pool, tmp_path)
    bad = options.told(PROMINENCE_IDLE_TIMEOUT="soon", PROMINENCE_COLLECTOR="a b")
    with worker(image, bad, tmp_path, network, "values") as container:
        assert container.wait(60) == 2
        assert "PROMINENCE_IDLE_TIMEOUT is not a whole number" in container.said()
        assert "PROMINENCE_COLLECTOR is not of the form" in container.said()
    assert not (tmp_path / "var/log/condor/MasterLog").exists()


def test_a_token_file_that_is_absent(image: Image, pool: Pool, network: Network, tmp_path: Path) -> None:
    options = docker_run(pool, tmp_path)
    token = tmp_path / "root/token.jwt"
    token.unlink()
    token.mkdir()  # as docker run does then
    said = "PROMINENCE_TOKEN_FILE /etc/condor/tokens.d/token.jwt is a directory, not a file\n"
    assert said in refused(image, options, network, tmp_path)


def test_a_token_that_has_expired(image: Image, pool: Pool, network: Network, tmp_path: Path) -> None:
    options = docker_run(pool, tmp_path)
    (tmp_path / "root/token.jwt").write_text(pool.worker_token(lifetime=-60))
    assert "the token expired on" in refused(image, options, network, tmp_path)


def test_a_token_that_jobs_could_read(image: Image, pool: Pool, network: Network, tmp_path: Path) -> None:
    """A folder that is open to others takes the place of the image's, which is closed."""
    folder = tmp_path / "tokens"
    folder.mkdir(mode=0o755)
    put_token(folder / "token.jwt", pool.worker_token())
    options = docker_run(pool, tmp_path).with_volume(folder, "/etc/condor/tokens.d")
    said = refused(image, options, network, tmp_path)
    problem = "jobs could read the token in /etc/condor/tokens.d/token.jwt"
    assert f"{problem}; make root its owner and run chmod 600 on it" in said
    assert owner_and_mode(folder / "token.jwt") == (1000, 1000, 0o644)
    assert owner_and_mode(folder) == (0, 0, 0o755)


def refused(image: Image, options: DockerRun, network: Network, folder: Path) -> str:
    """What a container says that starts nothing."""
    with worker(image, options, folder, network) as container:
        assert container.wait(120) == 2
        said = container.said()
    assert "HTCondor was not started" in said
    assert "eyJ" not in said
    assert not (folder / "var/log/condor/MasterLog").exists()
    return said


def test_a_token_that_others_can_read_stays_as_it_is_and_jobs_read_no_copy(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options, token = docker_run(pool, tmp_path), tmp_path / "root/token.jwt"
    another = tmp_path / "root/another"
    put_token(another, pool.worker_token())
    options = replace(options, volumes=(*options.volumes, (another, "/etc/condor/tokens.d/another")))
    copies = "/run/worker-bakery/tokens.d"
    with worker(image, options, tmp_path, network) as container:
        container.wait_until("it runs", lambda: "starting: " in container.said(), 180)
        for name in ("token.jwt", "another"):
            path = f"/etc/condor/tokens.d/{name}"
            assert (
                f"{path} is readable by others than its owner (mode 0644); run chmod 600 on it"
                in container.said()
            )
        listed = container.exec(["stat", "--format=%n %U %a", copies, f"{copies}/another"]).stdout
        assert listed.splitlines() == [f"{copies} root 700", f"{copies}/another root 600"]
        # The folder that it is mounted in is closed, the one with the copy, too.
        for inside in ("/etc/condor/tokens.d/token.jwt", f"{copies}/prominence-worker.token"):
            container.exec(["test", "-r", inside])
            container.exec([*AS_A_JOB, "test", "-e", inside], expect=(1,))
        container.kill(signal.SIGTERM)
        assert container.wait(180) == 0
    assert owner_and_mode(token) == owner_and_mode(another) == (1000, 1000, 0o644)


def test_a_token_that_changes_is_taken_up_and_jobs_go_on(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options, folder = docker_run(pool, tmp_path, idle_timeout="3600", job_id="goes-on"), tmp_path / "tokens"
    folder.mkdir(mode=0o700)
    put_token(folder / "token.jwt", replace(pool, signing_key=b"another").worker_token())
    until_told = "#!/bin/sh\nwhile [ ! -e /home/end ]; do sleep 1; done\n"
    job = pool.submit("goes-on", "", until_told, of_cluster("goes-on"))
    in_a_folder = options.with_volume(folder, "/etc/condor/tokens.d")
    with worker(image, in_a_folder, tmp_path, network) as container:
        container.wait_until("it is rejected", lambda: "rejected the token" in container.said(), 180)
        assert not joined(pool, tmp_path.name)
        # As whoever writes atomically does it.
        put_token(folder / ".token.jwt", pool.worker_token())
        (folder / ".token.jwt").rename(folder / "token.jwt")
        container.wait_until("it has joined", lambda: joined(pool, tmp_path.name), 180)
        container.wait_until("its job runs", lambda: pool.job_attributes(job, "JobStatus") == ["2"], 180)
        put_token(folder / "token.jwt", pool.worker_token(lifetime=-60))
        container.wait_until(
            "it is told", lambda: "HTCondor keeps its previous configuration" in container.said(), 180
        )
        put_token(folder / "token.jwt", pool.worker_token(lifetime=7200))
        container.wait_until("it is told", lambda: container.said().count(TAKEN_UP) == 2, 180)
        (tmp_path / "opt/prominence/end").touch()
        wait_job(pool, container, job)
        assert pool.job_attributes(job, "NumShadowStarts") == ["1"]
        assert (tmp_path / "var/log/condor/MasterLog").read_text().count("Got SIGHUP") == 2
        assert "eyJ" not in container.said()
        container.kill(signal.SIGTERM)
        assert container.wait(180) == 0


def test_a_file_that_was_replaced_where_a_container_cannot_see_it(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options, token = docker_run(pool, tmp_path, idle_timeout="3600"), tmp_path / "root/token.jwt"
    with worker(image, options, tmp_path, network) as container:
        container.wait_until("it runs", lambda: "starting: " in container.said(), 180)
        Path(shutil.copy(token, f"{token}.new")).replace(token)
        container.wait_until("it is said", lambda: "was replaced by another file" in container.said(), 180)
        assert TAKEN_UP not in container.said()


# A controller is of one version only, as the machine was booted. What version 2 says is read in
# tests/unit/worker/jobs/test_cgroup.py, from files as the kernel's documentation has them.
@pytest.mark.skipif(not CGROUP_V1, reason="this machine has no control groups of version 1")
def test_the_limits_of_a_container_are_htcondor_s(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    """docker run --cpus 1.5 --memory 1g"""
    with limited(1.5, 1 << 30) as groups:
        options = replace(docker_run(pool, tmp_path), privileged=False, groups=groups)
        with worker(image, options, tmp_path, network) as container:
            container.wait_until("it has joined", lambda: joined(pool, tmp_path.name), 180)
            assert "this container has CPUs: 1, memory: 1024 MiB" in container.said()
            # A quarter of the memory is kept for HTCondor itself.
            shown = pool.slot_attributes(tmp_path.name, "TotalCpus", "TotalMemory", name_attribute=CLOUD)
            assert shown == ["1.0 768"]


def test_a_parallel_job_on_two_hosts(image: Image, pool: Pool, network: Network, tmp_path: Path) -> None:
    """Each worker has a network and a name of its own, as without --net=host or on two hosts."""
    small = tmp_path / "95-test.config"
    # An ad that says that the worker is healthy does not take a minute.
    small.write_text("NUM_CPUS = 1\nUPDATE_INTERVAL = 5\n")
    told = {"schedd_name": TRUST_DOMAIN, "job_id": "two", "cloud": "two"}
    with ExitStack() as stack:
        nodes = []
        for name in ("node0", "node1"):
            (tmp_path / name).mkdir()
            options = docker_run(pool, tmp_path / name, **told)
            options = options.with_volume(small, f"/etc/condor/config.d/{small.name}")
            own = replace(options, hostname=name)
            nodes.append(stack.enter_context(worker(image, own, tmp_path / name, network)))
        # All CPUs, so that two nodes of a job cannot be on one machine. By default a job ends with its
        # first node, and what the others say may be lost.
        both = {
            "universe": "parallel", "machine_count": "2", "request_cpus": "1",
            "output": "job.out.$(Node)", "+WantParallelSchedulingGroups": "True",
            "+ParallelShutdownPolicy": '"WAIT_FOR_ALL"', **of_cluster("two"),
        }  # fmt: skip
        for node in nodes:
            node.wait_until(
                "it has joined",
                lambda: len(pool.slot_attributes("two", "Name", name_attribute=CLOUD)) == 2,
                240,
            )
        job = pool.submit("two", "", "#!/bin/sh\nuname -n; sleep 2\n", both)
        with real_rounds(pool):
            wait_job(pool, nodes[0], job, 600)
        outputs = (pool.root / "home/submitter/two").glob("job.out.*")
        assert sorted(path.read_text() for path in outputs) == ["node0\n", "node1\n"]
        for node in nodes:
            node.kill(signal.SIGTERM)
        assert [node.wait(180) for node in nodes] == [0, 0]


def test_the_documented_command_joins_runs_its_job_and_ends(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options = docker_run(pool, tmp_path, job_id=JOB_ID, idle_timeout="90", schedd_name="parallel")
    script = "#!/bin/sh\nid -un; env; pwd; cat /etc/condor/tokens.d/* /run/worker-bakery/tokens.d/*\n"
    foreign = pool.submit("foreign", "", script, of_cluster("another"))
    mine = pool.submit("mine", "", script, of_cluster(JOB_ID))
    with worker(image, options, tmp_path, network) as container:
        container.wait_until("it runs", lambda: "starting: " in container.said(), 180)
        container.wait_until("it has joined", lambda: waited(container, "joined"), 180)
        status = told(container)
        assert (status["live"], status["pending"], status["htcondor"]) == (True, "", "active")
        assert status["group"] == f"{tmp_path.name}, Here, Bakers"
        wait_job(pool, container, mine)
        shown = ("ProminenceRegion", "ProminenceNodeGroup", "DedicatedScheduler")
        [said, *_] = pool.slot_attributes(tmp_path.name, *shown, name_attribute=CLOUD)
        assert said == '"Here" "Bakers" "DedicatedScheduler@parallel"'
        assert container.exec(["/usr/lib/worker-bakery/worker", "alive"]).status == 0
        assert container.wait(400) == 0
        log = container.said()
    assert "HTCondor exited after IdleTimeout: ending the container" in log
    out = pool.output("mine")
    assert out.startswith("slot1\n")
    assert "/home/prominence/condor/dir_" in out
    assert "PROMINENCE" not in out
    assert pool.job_attributes(foreign, "JobStatus", "NumShadowStarts") == ["1", "undefined"]
    pool.remove(foreign)
    assert (tmp_path / "var/log/condor/StartLog").exists()
    for text in (log, out, (tmp_path / "var/log/condor/StartLog").read_text()):
        assert "eyJ" not in text


def test_without_privilege_a_job_runs_a_container_and_a_signal_ends_the_worker(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options = docker_run(pool, tmp_path, idle_timeout="3600")
    unprivileged = DockerRun(options.env, options.volumes, privileged=False)
    job = pool.submit("contained", "", (JOBS / "with-udocker.sh").read_text(), CONTAINED)
    with worker(image, unprivileged, tmp_path, network) as container:
        wait_job(pool, container, job)
        assert pool.output("contained").splitlines()[-3:] == IN_THE_IMAGE
        container.wait_until("nobody dead is left", lambda: not unburied(container), 60)
        container.kill(signal.SIGTERM)
        assert container.wait(180) == 0
        log = container.said()
    assert "this container is not privileged" in log
    assert "are not kept from the cloud's metadata service" in log
    assert "HTCondor has stopped" in log


def test_an_ordinary_user_runs_a_worker_of_his_own(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    """As apptainer has it on a cluster: the image's files, the user's own identity and folders."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    for folder in (home / ".condor/tokens.d", scratch):
        folder.mkdir(parents=True)
    token = home / ".condor/tokens.d/token.jwt"
    token.write_text(pool.worker_token())
    token.chmod(0o640)
    run.call(["chown", "-R", "65534:65534", str(home), str(scratch)])
    env = {
        **docker_run(pool, tmp_path, idle_timeout="3600").env,
        "HOME": "/home/alice",
        "TMPDIR": "/scratch",
    }
    options = DockerRun(env, ((home, "/home/alice"), (scratch, "/scratch")))
    as_alice = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    entry = [*as_alice, *image.entry, "--user"]
    job = pool.submit("of-alice", "", (JOBS / "with-udocker.sh").read_text(), CONTAINED)
    with started(image.root, entry, options, tmp_path / "cluster", network) as container:
        wait_job(pool, container, job)
        asks = ("env", "WORKER_BAKERY_HOME=/scratch/worker-bakery-65534", *as_alice)
        assert told(container, *asks)["live"]
        container.wait_until("the pool shows it", lambda: waited(container, "joined", *asks), 180)
        # By which the watch has the pool shown a change; whether it had to, depends on who was first.
        config = "CONDOR_CONFIG=/scratch/worker-bakery-65534/condor/condor_config"
        send = ["env", config, *as_alice, "condor_reconfig", "-daemon", "startd"]
        container.wait_until("it may", lambda: container.exec(send, expect=(0, 1)).status == 0, 120)
        assert "the pool will show the change after" not in container.said()
        assert pool.output("of-alice").splitlines()[-3:] == IN_THE_IMAGE
        container.kill(signal.SIGTERM)
        assert container.wait(180) == 0
        assert "jobs run as nobody, in /scratch/worker-bakery-65534/execute" in container.said()
        assert "token.jwt is readable by others than its owner (mode 0640)" in container.said()
        assert "eyJ" not in container.said()
    assert owner_and_mode(token) == (65534, 65534, 0o640)
    assert (scratch / "worker-bakery-65534").stat().st_mode & 0o777 == 0o700


def test_root_is_told_that_it_is_no_ordinary_user(image: Image, buildah: Buildah) -> None:
    entry = ["run", "--isolation", "chroot", image.name, "--", *image.entry, "--user"]
    assert "does not run as root" in buildah(*entry, expect=(2,)).stderr
