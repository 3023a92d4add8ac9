"""The container image, opened by buildah, and started as the worker's first users start it.

tests/golden/container/docker-run.sh is the command of their documentation, word for word.
"""

from __future__ import annotations

import json
import os
import signal
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import Network, isolated
from bakery.oci import layer
from bakery.verify import pool as pools
from bakery.verify.pool import ADDRESS, Pool
from provisioner import run
from tests.conftest import command
from tests.integration.containers import Container, DockerRun, parse, started

DOCKER_RUN = Path(__file__).parent.parent / "golden/container/docker-run.sh"
REQUIRED = ("PROMINENCE_CLOUD", "PROMINENCE_REGION", "PROMINENCE_NODE_GROUP", "PROMINENCE_COLLECTOR")
JOB_ID = "5e1f-1700000000"
COMPLETED = "4"
JOBS = Path(__file__).parent / "jobs"
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
def archive(root_only: None) -> Path:
    done = command("bake-image", "--worker", "prominence", "--format", "oci", "--json")
    assert done.status == 0, done.err[-3000:]
    return Path(json.loads(done.out)["path"])


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    made = Buildah(tmp_path_factory.mktemp("buildah"))
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
def network(root_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with isolated(tmp_path_factory.mktemp("network")) as made:
        yield made


@pytest.fixture(scope="module")
def pool(network: Network, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with pools.beside(image.root, tmp_path_factory.mktemp("pool"), network) as up:
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
    (host / "root/token.jwt").write_text(pool.worker_token() + "\n")
    (host / "root/token.jwt").chmod(0o644)
    return parse(DOCKER_RUN.read_text(), {**given, **variables}, host)


@contextmanager
def worker(
    image: Image, options: DockerRun, folder: Path, network: Network, name: str = "container"
) -> Iterator[Container]:
    with started(image.root, image.entry, options, folder / name, network) as up:
        yield up


def joined(pool: Pool, cloud: str) -> bool:
    return bool(pool.ads(cloud, "Name", found_by="ProminenceCloud"))


def wait_job(pool: Pool, container: Container, job: str) -> None:
    container.wait_until(f"job {job} is done", lambda: pool.about(job, "JobStatus") == [COMPLETED], 300)


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
    (tmp_path / "root/token.jwt").write_text(pool.worker_token(lifetime=-60))
    with worker(image, options, tmp_path, network, "expired") as container:
        assert container.wait(60) == 2
        assert "the token expired on" in container.said()
        assert "eyJ" not in container.said()
    assert not (tmp_path / "var/log/condor/MasterLog").exists()


def test_the_documented_command_joins_runs_its_job_and_ends(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options = docker_run(pool, tmp_path, job_id=JOB_ID, idle_timeout="20", schedd_name="parallel")
    script = "#!/bin/sh\nid -un; env; ls /etc/condor/tokens.d; cat /etc/condor/tokens.d/*; pwd\n"
    foreign = pool.submit("foreign", "", script, of_cluster("another"))
    mine = pool.submit("mine", "", script, of_cluster(JOB_ID))
    with worker(image, options, tmp_path, network) as container:
        wait_job(pool, container, mine)
        shown = ("ProminenceRegion", "ProminenceNodeGroup", "DedicatedScheduler")
        [said, *_] = pool.ads(tmp_path.name, *shown, found_by="ProminenceCloud")
        assert said == '"Here" "Bakers" "DedicatedScheduler@parallel"'
        assert container.exec(["/usr/lib/worker-bakery/worker", "alive"]).status == 0
        assert container.wait(180) == 0
        log = container.said()
    assert "could be read by others than its owner; it is made private" in log
    assert "HTCondor was idle for long enough: the container ends" in log
    out = pool.output("mine")
    assert out.startswith("slot1\n")
    assert "/home/prominence/condor/dir_" in out
    assert "PROMINENCE" not in out
    assert pool.about(foreign, "JobStatus", "NumShadowStarts") == ["1", "undefined"]
    pool.remove(foreign)
    assert (tmp_path / "var/log/condor/StartLog").exists()
    for text in (log, out, (tmp_path / "var/log/condor/StartLog").read_text()):
        assert "eyJ" not in text


def test_without_privilege_a_job_runs_a_container_and_a_signal_ends_the_worker(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    options = docker_run(pool, tmp_path, idle_timeout="60")
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
    assert "HTCondor has ended" in log


def test_an_ordinary_user_runs_a_worker_of_his_own(
    image: Image, pool: Pool, network: Network, tmp_path: Path
) -> None:
    """As apptainer has it on a cluster: the image's files, the user's own identity and folders."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    for folder in (home / ".condor/tokens.d", scratch):
        folder.mkdir(parents=True)
    token = home / ".condor/tokens.d/token.jwt"
    token.write_text(pool.worker_token())
    token.chmod(0o600)
    run.call(["chown", "-R", "65534:65534", str(home), str(scratch)])
    env = {**docker_run(pool, tmp_path, idle_timeout="90").env, "HOME": "/home/alice", "TMPDIR": "/scratch"}
    options = DockerRun(env, ((home, "/home/alice"), (scratch, "/scratch")))
    as_alice = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    entry = [*as_alice, *image.entry, "--user"]
    job = pool.submit("of-alice", "", (JOBS / "with-udocker.sh").read_text(), CONTAINED)
    with started(image.root, entry, options, tmp_path / "cluster", network) as container:
        wait_job(pool, container, job)
        assert pool.output("of-alice").splitlines()[-3:] == IN_THE_IMAGE
        container.kill(signal.SIGTERM)
        assert container.wait(180) == 0
        assert "jobs run as nobody, in /scratch/worker-bakery-65534/execute" in container.said()
        assert "eyJ" not in container.said()
    assert (scratch / "worker-bakery-65534").stat().st_mode & 0o777 == 0o700


def test_root_is_told_that_it_is_no_ordinary_user(image: Image, buildah: Buildah) -> None:
    entry = ["run", "--isolation", "chroot", image.name, "--", *image.entry, "--user"]
    assert "for those who are not root" in buildah(*entry, expect=(2,)).stderr
