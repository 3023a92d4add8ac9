"""examples/containers: the files for Compose, Podman and Kubernetes, read and run by the real programs.

kubectl renders the kustomization, and the schemas of Kubernetes judge it. No cluster runs here: a container
of Docker with what the Deployment asks for stands for a pod.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.machines.network import Network
from bakery.runtime.conditions import Condition, wait
from bakery.verify.pool.throwaway_pool import ADDRESS, Pool
from provisioner.process import run
from tests.integration.docker.containers import (
    CLOUD,
    IMAGE,
    Container,
    started,
    until_the_end,
    wait_job,
    wait_joined,
)
from tests.integration.docker.programs import unpacked
from tests.integration.docker_here import Docker
from tests.integration.tool_environments import environment

FILES = Path(__file__).parent.parent.parent.parent / "examples/containers"
KUBERNETES = ("1.28", "1.37")  # of the schemas
TICKS = "#!/bin/sh\nfor i in $(seq 20); do sleep 1; done\necho done\n"


def debian_13(program: str, package: str) -> str:
    return str(unpacked("trixie", (package,)) / program)


@pytest.fixture
def base(token: Path, tmp_path: Path) -> Path:
    """The base with a token, and with this test's pool in the place of the example's."""
    folder = tmp_path / "kubernetes"
    shutil.copytree(FILES / "kubernetes", folder)
    shutil.copy(token, folder / "token.jwt")
    file = folder / "kustomization.yaml"
    file.write_text(file.read_text().replace("prominence.example.org", ADDRESS))
    return folder


def rendered(folder: Path, *components: str) -> dict[str, Any]:
    """What `kubectl kustomize` makes of it, by kind."""
    if components:
        file = folder / "kustomization.yaml"
        file.write_text(f"{file.read_text()}components: [{', '.join(components)}]\n")
    text = run.call([debian_13("usr/bin/kubectl", "kubectl"), "kustomize", str(folder)]).stdout
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.mark.parametrize("components", [(), ("restricted",)])
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_would_take_it(version: str, components: tuple[str, ...], base: Path) -> None:
    documents = rendered(base, *components)
    assert set(documents) == {"ConfigMap", "Secret", "Deployment"}
    file = base / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(documents.values()))
    python = environment("kubernetes-validate", ("kubernetes-validate",)) / "bin/python"
    judged = ["-m", "kubernetes_validate", "--strict", "-k", version, str(file)]
    run.call([str(python), *judged])


def of_pod(documents: Mapping[str, Any], folder: Path) -> tuple[list[str], dict[str, str]]:
    """Options of `docker run` for the container of a Deployment, and its variables."""
    spec = documents["Deployment"]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    security = {**spec["securityContext"], **container["securityContext"]}
    assert security["allowPrivilegeEscalation"] is False
    options = [f"--user={security['runAsUser']}", "--security-opt=no-new-privileges"]
    options += [f"--cap-drop={name}" for name in security["capabilities"]["drop"]]
    options += [f"--cap-add={name}" for name in security["capabilities"].get("add", ())]
    options += ["--read-only"] if security["readOnlyRootFilesystem"] else []
    options += [f"--group-add={security['fsGroup']}"] if "fsGroup" in security else []
    limits = container["resources"]["limits"]
    options += [f"--cpus={limits['cpu']}", f"--memory={limits['memory'].replace('i', '').lower()}"]
    for mount in container["volumeMounts"]:
        [volume] = [one for one in spec["volumes"] if one["name"] == mount["name"]]
        options += ["-v", f"{volume_of(volume, folder, security.get('fsGroup', 0))}:{mount['mountPath']}"]
    env = {
        **documents["ConfigMap"]["data"],
        **{row["name"]: row["value"] for row in container.get("env", ())},
    }
    return options, env


def volume_of(volume: Mapping[str, Any], folder: Path, group: int) -> Path:
    """As the kubelet makes it: an emptyDir is open to all, a file of a Secret is a link."""
    made = folder / str(volume["name"])
    made.mkdir()
    made.chmod(0o777)
    if "secret" in volume:
        mode = int(volume["secret"]["defaultMode"])
        (made / "..2026").mkdir()
        real = made / "..2026/token.jwt"
        shutil.copy(folder / "token.jwt", real)
        real.chmod(mode | 0o040 if group else mode)
        os.chown(real, 0, group)
        (made / "..data").symlink_to("..2026")
        (made / "token.jwt").symlink_to("..data/token.jwt")
        made.chmod(0o755)
    return made


# test_docker_options.py has the options of the second one: "user-read-only".
@pytest.mark.parametrize(
    ("components", "account"),
    [((), "slot1"), pytest.param(("restricted",), "worker", marks=pytest.mark.full)],
)
def test_a_pod_of_it_runs_a_job_and_drains_before_it_stops(
    components: tuple[str, ...], account: str, docker: Docker, pool: Pool, base: Path
) -> None:
    cloud = f"pod-{account}"
    documents = rendered(base, *components)
    options, env = of_pod(documents, base)
    env["PROMINENCE_CLOUD"] = cloud
    lifecycle = documents["Deployment"]["spec"]["template"]["spec"]["containers"][0]["lifecycle"]
    where = {"requirements": f'TARGET.{CLOUD} == "{cloud}"'}
    with started(docker, "--hostname", cloud, *options, env=env) as container:
        job = pool.submit(cloud, "", f"{TICKS}id -un\n", where)
        wait_job(pool, container, job, "2")
        # The folders of Kubernetes are open to all; no job may replace what is in these.
        if account != "worker":
            for path in ("/run", "/home", "/var/lib/condor"):
                assert container.exec("stat", "-c", "%a", path).strip() == "755", path
        # It ends with the container, as does the preStop hook of a pod.
        docker.call("exec", container.id, *lifecycle["preStop"]["exec"]["command"])
        assert container.wait(300) == 0
        assert pool.output(cloud).split() == ["done", account]


def test_compose_starts_a_worker_and_stops_it(
    docker: Docker, pool: Pool, token: Path, tmp_path: Path
) -> None:
    shutil.copy(FILES / "compose.yaml", tmp_path)
    token.chmod(0o600)
    variables = {"IMAGE": IMAGE, "CLOUD": "composed", "REGION": "Here", "NODE_GROUP": "Bakers"}
    lines = [f"PROMINENCE_{name}={value}" for name, value in {**variables, "COLLECTOR": ADDRESS}.items()]
    (tmp_path / ".env").write_text("\n".join([*lines, "WORKER_CPUS=1", "WORKER_MEMORY=1g"]) + "\n")
    program = debian_13("usr/libexec/docker/cli-plugins/docker-compose", "docker-compose")

    def compose(*words: str) -> str:
        env = {**os.environ, "DOCKER_HOST": f"unix://{docker.socket}"}
        argv = [program, *words]
        done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    compose("up", "-d")
    with until_the_end(Container(docker, compose("ps", "-q").strip())) as container:
        wait_joined(container, pool, "composed")
        assert "this container has CPUs: 1, memory: 1024 MiB" in container.said()
        compose("stop")
        assert container.inspect("State", "ExitCode") == 0
        compose("down", "--volumes")


def test_podman_makes_a_service_of_the_quadlet() -> None:
    env = {**os.environ, "QUADLET_UNIT_DIRS": str(FILES)}
    quadlet = [debian_13("usr/libexec/podman/quadlet", "podman"), "-dryrun"]
    done = subprocess.run(quadlet, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "unsupported key" not in done.stderr
    [start] = [row for row in done.stdout.splitlines() if row.startswith("ExecStart=")]
    for part in (
        "--stop-timeout=3700",
        "--network host",
        "--cap-add cap_net_admin",
        ":/etc/condor/tokens.d/token.jwt:ro",
    ):
        assert part in start


class Podman:
    """Podman 4.3 of Debian 12 with crun, which does not support a hybrid hierarchy of control groups."""

    def __init__(self, folder: Path, network: Network) -> None:
        root = unpacked("bookworm", ("podman", "crun", "conmon", "libyajl2", "libgpgme11", "libsubid4"))
        libraries = root / "usr/lib/x86_64-linux-gnu"
        crun = folder / "crun"
        crun.write_text(f'#!/bin/sh\nexport LD_LIBRARY_PATH={libraries}\nexec {root}/usr/bin/crun "$@"\n')
        crun.chmod(0o755)
        (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (folder / "containers.conf").write_text(
            f"[containers]\ndefault_ulimits = []\n"
            f'[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n'
            f'conmon_path = ["{root}/usr/bin/conmon"]\n[engine.runtimes]\ncrun = ["{crun}"]\n'
        )
        hybrid = "! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified"
        alone = [
            "unshare",
            "--mount",
            "--propagation=private",
            "sh",
            "-c",
            f'{hybrid}; exec "$@"',
            "podman",
        ]
        # Podman refuses a path of more than 50 characters there.
        self.runroot = Path(tempfile.mkdtemp(prefix="podman.", dir="/run"))
        storage = [f"--root={folder}/root", f"--tmpdir={folder}/tmpdir", f"--runroot={self.runroot}"]
        podman = [str(root / "usr/bin/podman"), *storage, "--storage-driver=vfs"]
        self._argv = network.argv([*alone, *podman])
        self._env = {
            **os.environ,
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "LD_LIBRARY_PATH": str(libraries),
        }
        self.policy = f"--signature-policy={folder / 'policy.json'}"

    def __call__(self, *words: str) -> str:
        argv = [*self._argv, *words]
        done = subprocess.run(argv, env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


def test_podman_runs_the_image(
    archive: Path, pool: Pool, network: Network, token: Path, tmp_path: Path
) -> None:
    (tmp_path / "podman").mkdir()
    podman = Podman(tmp_path / "podman", network)
    loaded = podman("load", podman.policy, "-i", str(archive))
    name = loaded.partition("Loaded image: ")[2].split()[0]
    given = {"CLOUD": "podman", "REGION": "Here", "NODE_GROUP": "Bakers", "COLLECTOR": ADDRESS}
    env = [f"--env=PROMINENCE_{key}={value}" for key, value in {**given, "DRAIN_TIMEOUT": "60"}.items()]
    volume = f"{token}:/etc/condor/tokens.d/token.jwt"
    # Without control groups, and without limits that this machine may not raise.
    here = ("--cgroups=disabled", "--ulimit=host", "--net=host", "--stop-timeout=150")
    try:
        podman("run", "-d", "--name=worker", *here, *env, "-v", volume, name)
        job = pool.submit("podman", "", TICKS, {"requirements": f'TARGET.{CLOUD} == "podman"'})
        wait_for(pool, job, "2", podman)
        # As ExecStop= of the quadlet's service has it, which waits for the timeout of the container.
        podman("stop", "worker")
        assert pool.output("podman") == "done\n"
        assert podman("inspect", "--format", "{{.State.ExitCode}}", "worker").strip() == "0"
        assert "HTCondor has stopped" in podman("logs", "worker")
    finally:
        podman("rm", "-f", "--ignore", "worker")
        run.call(["rm", "-rf", "--one-file-system", str(tmp_path / "podman"), str(podman.runroot)])


def wait_for(pool: Pool, job: str, status: str, podman: Podman) -> None:
    wait(
        Condition(f"JobStatus is {status}", lambda: pool.job_attributes(job, "JobStatus") == [status], 180),
        end_reason=lambda: "" if podman("ps", "-q").strip() else podman("logs", "worker"),
    )
