"""What OSPool users write of containers and data, run on a worker of --with ospool with its own small pool.

HTCondor and apptainer are real. Stand-ins are CVMFS's package (a folder of the image for a repository),
Pelican's plugin (jobs/osdf-stand-in) and a registry of containers (jobs/registry-stand-in.py).
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.namespace import NamespaceMachine
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store
from provisioner.actions import Put, Run
from provisioner.roles import Pelican
from provisioner.roles.workers.ospool_data import PLUGIN, InstallPelican
from tests.boot.test_guest_life import booted, conf, shell, slot, write
from tests.conftest import Folders, command, mounted
from tests.integration import repository
from tests.integration.bake.test_baked_roles import AUTO_CVMFS, KEYRING, pool_of_its_own, roles_store
from tests.integration.worker.test_worker_jobs import HOME, JOBS, accounts

# tests/boot/test_ospool_guides.py runs jobs in containers each time; these are all the ways to write them.
pytestmark = pytest.mark.full
REPOSITORY = "singularity.opensciencegrid.org"
IMAGE = f"/cvmfs/{REPOSITORY}/htc/made:here"
OSDF = "osdf:///ospool/ap20/data/alice"
# A GPU, and a registry: the one that the worker tries is not reached, and ours is another.
SITE = """\
WORKER_POOL_GUARD_REGISTRY = True
MACHINE_RESOURCE_INVENTORY_GPUs =
MACHINE_RESOURCE_GPUs = CUDA0
"""
SUBMIT = """\
executable = ospool_job.sh
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_cpus = 1
request_memory = 100
request_disk = 20480
+ProjectName = "TG-ABC123"
output = {name}.out
error = {name}.err
log = {name}.log
{lines}
queue
"""
LOOKS = """\
executable = /usr/bin/python3
transfer_executable = False
transfer_input_files = looks_around.py
"""
CONTAINER = "universe = container\ncontainer_image = "
# As the OSPool's guides have them: the container universe, and what was there before it.
SPELLINGS = {
    "file": f"{CONTAINER}image.sif",
    "cvmfs": f"{CONTAINER}{IMAGE}",
    "osdf": f"container_image = {OSDF}/image.sif",  # HTCondor knows the universe by it
    "docker": f'{CONTAINER}docker://127.0.0.1:5000/made:here\nenvironment = "APPTAINER_NOHTTPS=1"',
    "old-file": '+SingularityImage = "./image.sif"\ntransfer_input_files = image.sif',
    "old-cvmfs": f'+SingularityImage = "{IMAGE}"',
    "old-osdf": f'+SingularityImage = "{OSDF}/image.sif"',
    "old-docker": '+SingularityImage = "docker://127.0.0.1:5000/made:here"\n'
    'environment = "APPTAINER_NOHTTPS=1"',
}


@pytest.fixture(scope="module")
def ospool_image(baked: dict[str, Any], store: Store, folders: Folders) -> Path:
    """The image, baked by the command into a store of its own."""
    folder = folders("ospool")
    (folder / "repository").mkdir()
    files = {
        "etc/auto.cvmfs": (AUTO_CVMFS, 0o755),
        f"opt/cvmfs/{REPOSITORY}/hello": ("from a stand-in\n", 0o644),
    }
    repository.package(folder / "repository", "cvmfs", "Depends: autofs\n", files)
    key = repository.index(folder / "repository")
    env = {"WORKER_BAKERY_CACHE": str(roles_store(store, folder / "cache").root)}
    with repository.served(folder / "repository") as url:
        sid, own = folder / "sid.sources", folder / "stand-in.sources"
        sid.write_text(
            f"Types: deb\nURIs: {find_mirror().main}\nSuites: sid\nComponents: main\n"
            f"Check-Valid-Until: no\nSigned-By: {KEYRING}\n"
        )
        own.write_text(f"Types: deb\nURIs: {url}\nSuites: ./\nSigned-By:{repository.as_field(key)}\n")
        lent = ("--apt-source", str(sid), "--apt-source", str(own))
        roles = (
            "--with",
            "ospool",
            "--with",
            "apptainer",
            "--with",
            "cvmfs",
            "--cvmfs-repositories",
            REPOSITORY,
        )
        given = ("--pelican", str(JOBS / "osdf-stand-in"))
        done = command("bake-image", "--verify", "offline", "--json", *roles, *given, *lent, env=env)
    assert done.status == 0, done.err[-3000:]
    return Path(json.loads(done.out)["path"])


@pytest.fixture(scope="module")
def ospool_root(ospool_image: Path, folders: Folders) -> Iterator[Path]:
    with mounted(ospool_image, folders("ospool-image")) as root:
        yield root


@pytest.fixture(scope="module")
def machine(ospool_root: Path, folders: Folders) -> Iterator[NamespaceMachine]:
    """A worker of it, with a GPU that it is told it has, images where users have them, and Alice."""
    folder = folders("ospool-machine")
    with pool_of_its_own(ospool_root, folder) as root:
        (root / "etc/condor/config.d/96-test.config").write_text(SITE)
        with booted(root, folder / "console") as up:
            shell(up, "mkdir -p /run/systemd/resolve; echo >/run/systemd/resolve/stub-resolv.conf")
            shell(up, "mknod -m 666 /dev/fuse c 10 229; systemctl restart autofs")
            up.run(["useradd", "--create-home", "alice"])
            furnish(up)
            write(up, conf() + "GpuJobsOnly = no\n")
            up.wait_until("it has looked at itself", lambda: slot(up, "NODE_STATUS") == "OK", 240)
            yield up


def furnish(machine: NamespaceMachine) -> None:
    """The image in all places that a job can name, a file of the OSDF, and a token of Alice's."""
    for path in (*JOBS.glob("*.sh"), JOBS / "looks_around.py", JOBS / "registry-stand-in.py"):
        machine.put(f"{HOME}/{path.name}", path.read_bytes(), 0o755)
    folder = f"/opt{IMAGE}"
    machine.run(["sh", f"{HOME}/make-image.sh", f"{HOME}/image.sif", folder])
    script = f"""\
set -eu
osdf=/opt/osdf/ospool/ap20/data/alice
mkdir -p $osdf /opt/osdf/pelicanplatform/test
chmod 777 $osdf
cp {HOME}/image.sif $osdf
echo 1 2 3 >$osdf/numbers.txt
echo hello >/opt/osdf/pelicanplatform/test/hello-world.txt
chown alice {HOME} {HOME}/*
mkdir -m 700 /var/lib/condor/oauth_credentials/alice
umask 077
echo alices-token >/var/lib/condor/oauth_credentials/alice/scitokens.use
systemd-run --quiet --unit registry python3 {HOME}/registry-stand-in.py {folder}
"""
    machine.run(["sh", "-c", script])


def submit(machine: NamespaceMachine, name: str, lines: str) -> None:
    text = SUBMIT.format(name=name, lines=lines)
    machine.run(["su", "alice", "-c", f"cat >{HOME}/{name}.sub"], stdin=text.encode())
    machine.run(["su", "alice", "-c", f"cd {HOME} && condor_submit {name}.sub"])


def ended(machine: NamespaceMachine, name: str) -> list[str]:
    """What it wrote, when it has ended."""
    log = f"{HOME}/{name}.log"
    ends = f"grep -q '^005 ' {log} || grep -q '^012 ' {log}"
    machine.wait_until(f"{name} has ended", lambda: machine.succeeds("sh", "-c", ends), 240)
    told = shell(machine, f"grep -A3 '^012 ' {log}")
    assert told == "", told
    assert shell(machine, f"cat {HOME}/{name}.err") == ""
    return shell(machine, f"cat {HOME}/{name}.out").splitlines()


def uid_of(said: list[str]) -> int:
    return next(int(row.removeprefix("uid ")) for row in said if row.startswith("uid "))


def inside(uid: int) -> list[str]:
    return [
        "in the image",
        "no machine's files",
        f"uid {uid}",
        "in /srv, at home in /srv, scratch /srv",
        "cvmfs: from a stand-in",
        "cvmfs is not to be written",
        "writes",
    ]


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_container_runs_however_its_image_is_spelt(machine: NamespaceMachine, name: str) -> None:
    submit(machine, name, SPELLINGS[name])
    said = ended(machine, name)
    assert uid_of(said) in set(accounts(machine).values())
    assert said == inside(uid_of(said))


def test_gpus_come_into_a_container(machine: NamespaceMachine) -> None:
    submit(machine, "gpu", f"{SPELLINGS['file']}\nrequest_gpus = 1")
    assert ended(machine, "gpu")[0] == "in the image"
    started = shell(machine, "grep -h 'About to exec .*image.sif' /var/log/condor/StarterLog.slot1_*")
    assert " --nv " in started


def test_who_names_no_image_gets_the_default_one_or_none(machine: NamespaceMachine) -> None:
    submit(machine, "plain", "")
    assert ended(machine, "plain")[0] == "on the machine"
    # A site's file; each starter reads it anew.
    site = "/etc/condor/config.d/60-site.config"
    machine.put(site, f'WORKER_DEFAULT_IMAGE = "{IMAGE}"\n'.encode(), 0o644)
    submit(machine, "default", "")
    submit(machine, "bypass", "+container_bypass = True")
    submit(machine, "named", SPELLINGS["old-osdf"])
    said = ended(machine, "default")
    assert said == inside(uid_of(said))
    assert ended(machine, "bypass")[0] == "on the machine"
    assert ended(machine, "named")[0] == "in the image"
    started = shell(machine, "grep -h 'About to exec .*singularity' /var/log/condor/StarterLog.slot1_*")
    assert f" {IMAGE} " in started
    machine.run(["rm", site])


def test_data_of_the_osdf_comes_and_goes(machine: NamespaceMachine) -> None:
    assert "osdf" in slot(machine, "HasFileTransferPluginMethods").split(",")
    out = f'transfer_output_files = result.txt\ntransfer_output_remaps = "result.txt = {OSDF}/result.txt"'
    submit(machine, "data", f"{SPELLINGS['osdf']}\ntransfer_input_files = {OSDF}/numbers.txt\n{out}")
    assert "numbers: 1 2 3" in ended(machine, "data")
    assert shell(machine, "cat /opt/osdf/ospool/ap20/data/alice/result.txt") == "made of 1 2 3"


def held(machine: NamespaceMachine, name: str) -> str:
    log = f"{HOME}/{name}.log"
    machine.wait_until(
        f"{name} is held", lambda: machine.succeeds("sh", "-c", f"grep -q '^012 ' {log}"), 240
    )
    machine.run(["su", "alice", "-c", "condor_rm -all"])
    return shell(machine, f"grep -A1 '^012 ' {log}")


def test_an_image_that_does_not_exist_holds_the_job_with_its_name(machine: NamespaceMachine) -> None:
    submit(machine, "nowhere", f'+SingularityImage = "/cvmfs/{REPOSITORY}/htc/gone:1"')
    assert f"there is no image /cvmfs/{REPOSITORY}/htc/gone:1 in CVMFS" in held(machine, "nowhere")
    submit(machine, "unfetched", f'+SingularityImage = "{OSDF}/gone.sif"')
    assert f"cannot fetch the image {OSDF}/gone.sif: no such object" in held(machine, "unfetched")


def test_an_image_of_a_repository_that_is_not_mounted_goes_back_to_the_queue(
    machine: NamespaceMachine,
) -> None:
    submit(machine, "elsewhere", '+SingularityImage = "/cvmfs/gone.example.org/made:here"')
    back = f"grep -q '^004 ' {HOME}/elsewhere.log"
    machine.wait_until("it is back in the queue", lambda: machine.succeeds("sh", "-c", back), 240)
    told = shell(machine, f"cat {HOME}/elsewhere.log")
    assert "/cvmfs/gone.example.org is not mounted" in told and "\n012 " not in told
    machine.run(["su", "alice", "-c", "condor_rm -all"])


def test_a_token_comes_to_its_job_and_to_no_other(machine: NamespaceMachine) -> None:
    needs = '+OAuthServicesNeeded = "scitokens"'
    submit(machine, "token", f"{SPELLINGS['file']}\n{needs}")
    assert "token: alices-token" in ended(machine, "token")
    submit(machine, "keeps", f"{needs}\narguments = keep")
    find = "find /var/lib/condor/execute -name scitokens.use"
    [path] = machine.wait_until("it has it", lambda: shell(machine, find).split(), 240)
    scratch = str(Path(path).parent.parent)
    store = "/var/lib/condor/oauth_credentials"
    looks = f"arguments = looks_around.py {path} {Path(path).parent} {scratch} {store}"
    submit(machine, "looks", f"{LOOKS}\n{looks}")
    said = json.loads("".join(ended(machine, "looks")))
    assert shell(machine, f"stat -c %U {path}") != shell(machine, f"id -un {said['uid']}")
    assert said["paths"] == {
        path: "PermissionError",
        str(Path(path).parent): "PermissionError",
        scratch: "",
        store: "",
    }
    machine.run(["su", "alice", "-c", "condor_rm -all"])
    read = shell(machine, "condor_config_val SEC_DEFAULT_ENCRYPTION SEC_DEFAULT_INTEGRITY").split()
    assert read == ["REQUIRED", "REQUIRED"]


def test_osdf_is_not_advertised_if_the_plugin_does_not_answer(machine: NamespaceMachine) -> None:
    def methods() -> set[str]:
        """Of those at stake, what the startd finds out at its start; in a minute, if nothing answers."""
        ask = "$(condor_config_val STARTER) -classad >/run/said.new; mv /run/said.new /run/said"
        machine.run(["systemd-run", "--quiet", "sh", "-c", f"rm -f /run/said; {ask}"])
        machine.wait_until("the starter has said it", lambda: machine.succeeds("ls", "/run/said"), 240)
        said = shell(machine, "sed -n 's/^HasFileTransferPluginMethods = //p' /run/said; rm /run/said")
        return {"osdf", "stash", "pelican", "https"} & set(said.strip('"').split(","))

    assert methods() == {"osdf", "stash", "pelican", "https"}
    machine.run(["mv", "/opt/osdf/pelicanplatform", "/opt/osdf/gone"])
    assert methods() == {"https"}
    machine.run(["mv", "/opt/osdf/gone", "/opt/osdf/pelicanplatform"])
    machine.run(["touch", "/opt/osdf/hangs"])
    assert methods() == {"https"}
    machine.run(["rm", "/opt/osdf/hangs"])


def installed(machine: NamespaceMachine, given: Pelican, content: bytes | None = None) -> str:
    """What the step makes of it on a machine; of other content, if it arrives there as that."""
    put, run = InstallPelican(given).actions()
    assert isinstance(put, Put) and isinstance(run, Run)
    machine.put(put.path, content or put.data, put.mode)
    done = machine.run(list(run.argv), expect=(0, 1))
    machine.run(["rm", "-f", put.path])
    return done.stdout or shell(machine, f"{PLUGIN}; stat -c %a,%U {PLUGIN}")


def test_pelican_is_unpacked_from_each_form_that_it_is_released_in(
    machine: NamespaceMachine, tmp_path: Path
) -> None:
    program = "#!/bin/sh\necho of {}\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("pelican-7.26.0/pelican")
        content = program.format("an archive").encode()
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    given = Pelican("archive", packed.getvalue())
    assert installed(machine, given) == "of an archive\n755,root"
    files = {"usr/bin/pelican": (program.format("a package"), 0o755)}
    repository.package(tmp_path, "pelican", "", files)
    package = Pelican("package", (tmp_path / "pelican.deb").read_bytes())
    assert installed(machine, package) == "of a package\n755,root"
    assert "FAILED" in installed(machine, given, content=b"another")
    without = io.BytesIO()
    tarfile.open(fileobj=without, mode="w:gz").close()
    assert "there is no program pelican" in installed(machine, Pelican("archive", without.getvalue()))
    stand_in = Pelican("program", (JOBS / "osdf-stand-in").read_bytes())
    installed(machine, stand_in)
