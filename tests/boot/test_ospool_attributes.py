"""What a worker of the OSPool says of itself, read from the ad of a real startd; and which jobs it takes.

The image is baked --with ospool and with the apptainer of Debian's unstable. Ports and a repository of
CVMFS are the machine's own: a web server on its loopback, and a file system in the repository's place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.runtime import data
from bakery.runtime.mirror import find as find_mirror
from bakery.userdata.rendering import WorkerConf
from bakery.verify.pool.throwaway_pool import COMPLETED, Pool
from tests.boot.life import JOB, conf, configure, started_at, wait_job, wait_joined, wait_refused
from tests.boot.test_guest_life import macros, shell, slot
from tests.conftest import BASE, Folders, command, mounted

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FACTS = json.loads((data.WORKER / "ospool/usr/lib/worker-bakery/ospool.json").read_text())
OPEN, SILENT = 8000, 2880  # a port that answers, and one that takes a connection and says nothing
LISTEN = f'import socket, time; s = socket.create_server(("127.0.0.1", {SILENT})); time.sleep(1e6)'
DOCUMENT = data.ROOT / "docs" / "reference" / "ospool.md"
REMEMBERED = "/run/worker-bakery/health/ospool.json"
SITE = "/etc/condor/config.d/60-site.config"
GROUP_NAME, MINE = "For the OSPool", "TG-OSPOOL"
REPOSITORY, EMPTY = "oasis.opensciencegrid.org", "sft.cern.ch"
# (HTCondor's own test of apptainer is at its start.)
PREPARE = f"""\
rm -f /etc/resolv.conf; touch /etc/resolv.conf
echo '127.0.0.1 {FACTS["network_test"]}' >>/etc/hosts
mkdir -p /run/web /cvmfs/{REPOSITORY} /cvmfs/{EMPTY}
systemd-run --quiet --unit=web python3 -m http.server --directory /run/web --bind 127.0.0.1 {OPEN}
systemd-run --quiet --unit=silent python3 -c '{LISTEN}'
mount -t tmpfs none /cvmfs/{REPOSITORY}
mount -t tmpfs none /cvmfs/{EMPTY}
echo hello >/cvmfs/{REPOSITORY}/hello
python3 -c 'import os; os.setxattr("/cvmfs/{REPOSITORY}", "user.revision", b"4711")'
"""


SCRIPT = "#!/bin/sh\necho done\n"
# As the OSPool's guides write them.
TAKEN = {
    "requirements": (
        "HAS_SINGULARITY == True && OSG_NODE_VALIDATED && PORT_8000 =?= True"
        ' && OSGVO_OS_STRING == "DEBIAN 13" && HAS_CVMFS_oasis_opensciencegrid_org == True'
        " && CVMFS_oasis_opensciencegrid_org_REVISION >= 4711"
    ),
    "+DESIRED_Sites": '"Elsewhere, cloud"',
    "+UNDESIRED_Sites": '"Elsewhere"',
    "+JobDurationCategory": '"Medium"',
}
GUARDED = {
    "desired": {"+DESIRED_Sites": '"Elsewhere"'},
    "undesired": {"+UNDESIRED_Sites": '"Elsewhere,cloud"'},
    "long": {"+JobDurationCategory": '"Long"'},
    "mpi": {"+Want_MPI": "True"},
    "itb": {"+ITB_Sites": "True"},
    "registry": {"+SingularityImage": '"docker://debian"'},
}
REFUSED = {
    **GUARDED,
    "cvmfs": {"requirements": "HAS_CVMFS_sft_cern_ch == True"},
    "system": {"requirements": 'OSGVO_OS_STRING == "RHEL 9"'},
    "port": {"requirements": "PORT_1094"},
}
EXPECTED = {
    "GLIDEIN_Site": '"cloud"', "GLIDEIN_ResourceName": f'"cloud-{MINE}"', "GLIDEIN_Country": '"US"',
    "Is_ITB_Site": "false", "OSPool": "false", "OSGVO_OS_STRING": '"DEBIAN 13"', "OSG_OS_NAME": '"DEBIAN"',
    "HAS_SINGULARITY": "true", "SINGULARITY_CAN_USE_REGISTRY": "false", "Has_MPI": "false",
    "SINGULARITY_PATH": '"/usr/bin/apptainer"', "PORT_8000": "true", "PORT_80": "false",
    "PORT_2880": "false",
    "OUTBOUND_FIREWALL": "true", "HAS_CVMFS_oasis_opensciencegrid_org": "true",
    "CVMFS_oasis_opensciencegrid_org_REVISION": "4711", "CVMFS_oasis_opensciencegrid_org_NIOERR": "-1",
    "HAS_CVMFS_sft_cern_ch": "false", "CVMFS_sft_cern_ch_REVISION": None,
    "HAS_CVMFS_singularity_opensciencegrid_org": "false", "HAS_PYTHON3": "true", "HAS_GCC": "false",
    "HAS_TIMEOUT": "true", "HAS_unsquashfs": "true", "HasExcessiveLoad": "false", "MappedUser": "true",
}  # fmt: skip


def rows() -> list[tuple[list[str], str, str]]:
    """Of the table of attributes in the document: names, what is here, and the note."""
    found = re.findall(r"^\| (`.*?) \| (\w+)([^|]*) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return [
        (re.findall(r"`(\w+)`", names), here if not more else "sometimes", note)
        for names, here, more, note in found
        if here in ("same", "equivalent", "no")
    ]


@pytest.fixture(scope="module")
def image(root_only: None, folders: Folders) -> Iterator[Image]:
    """The repository is Debian's own, so that the image may be kept in the user's store."""
    folder = folders("ospool")
    sid = folder / "sid.sources"
    sid.write_text(
        f"Types: deb\nURIs: {find_mirror().main}\nSuites: sid\nComponents: main\n"
        f"Check-Valid-Until: no\nSigned-By: {KEYRING}\n"
    )
    roles = ("--with", "ospool", "--with", "apptainer", "--apt-source", str(sid))
    done = command("bake-image", "--verify", "offline", "--checkpoints", "all", "--json", *roles)
    assert done.status == 0, done.err[-3000:]
    path = Path(json.loads(done.out)["path"])
    with mounted(path, folder) as root:
        yield Image(path, root, BASE.login)


@pytest.fixture(scope="module")
def machine(image: Image, network: Network, pool: Pool, folders: Folders) -> Iterator[Machine]:
    """A worker that is in the pool and has been looked at."""
    work = folders("worker")
    with boot(Needs(hostname="ospool", network=network), image, work) as up:
        assert up.wait_booted() == "running", up.run(["systemctl", "--failed"]).stdout
        up.run(["sh", "-ec", PREPARE])
        configure(up, told(pool))
        wait_joined(up, pool, GROUP_NAME)
        up.wait_until("the machine is tried", lambda: bool(slot(up, "HAS_SINGULARITY")), 240)
        up.wait_until("it is well", lambda: slot(up, "OSG_NODE_VALIDATED") == "true", 120)
        yield up


def told(pool: Pool, **settings: str) -> WorkerConf:
    """For a day, so that long jobs do not fit; and of a Start that would take jobs of no project."""
    known = conf(pool, GROUP_NAME, MINE)
    start = f"{known.start} || TARGET.ProjectName =?= undefined"
    life = {"MaxLifetime": "86400", "LoginGrace": "0", "Country": "US"}
    return replace(known, start=start, settings={**known.settings, **life, **settings})


@pytest.fixture(scope="module")
def ad(machine: Machine) -> dict[str, str]:
    """All that the slot says, unparsed; names in lower case, as ClassAds do not heed it."""
    address = "$(head -n 1 /var/log/condor/.startd_address)"
    rows = shell(machine, f'condor_status -direct "{address}" -long').splitlines()
    return {name.lower(): text for name, equals, text in (row.partition(" = ") for row in rows) if equals}


def test_the_table_of_the_document_is_true(ad: dict[str, str]) -> None:
    table = rows()
    assert sum(len(names) for names, _, _ in table) > 110
    wrong = []
    for names, here, note in table:
        own = re.findall(r"`(\w+)`", note)[:1] if here == "equivalent" else names
        there = [name.lower() in ad for name in own]
        if here in ("same", "equivalent") and not all(there):
            wrong.append(f"{names}: {own} not in the ad")
        if here == "no" and any(there):
            wrong.append(f"{names}: in the ad")
    assert not wrong


def test_what_was_tried_is_said_and_nothing_else(machine: Machine, ad: dict[str, str]) -> None:
    known = {name: ad.get(name.lower()) for name in EXPECTED}
    assert known == EXPECTED
    # HTCondor comes to its own judgement about apptainer.
    assert ad["has_singularity"] == ad["hassingularity"]
    assert ad["singularity_can_use_sif"] == ad.get("hassif", "false")
    assert slot(machine, "OSG_NODE_VALIDATED") == ad["node_is_healthy"] == "true"
    assert "port 1094: " in ad["osg_node_warnings"] and "images of a registry: " in ad["osg_node_warnings"]
    assert ad["glidein_todie"] == ad["workerends"] and ad["glidein_toretire"] == ad["workerretires"]
    tried = json.loads(shell(machine, f"cat {REMEMBERED}"))
    assert [tried[f"port {port}"][1] for port in (80, SILENT)] == [
        "[Errno 111] Connection refused",
        "timed out",
    ]
    kernel = shell(machine, "uname -r")
    assert (ad["osgvo_os_kernel"], ad["osg_os_kernel"]) == (f'"{kernel}"', f'"{kernel}"')


def test_a_look_is_short_and_heavy_tests_are_remembered(machine: Machine) -> None:
    """Another look, by hand, tries nothing of what still holds."""
    before = shell(machine, f"cat {REMEMBERED}")
    shell(machine, "/usr/lib/worker-bakery/worker ospool")
    after = json.loads(shell(machine, f"cat {REMEMBERED}"))
    held = {name for name, row in json.loads(before).items() if after[name] == row}
    assert {"containers", "images of a registry", "port 1094", f"CVMFS {EMPTY}", "HAS_GCC"} <= held
    assert f"CVMFS {REPOSITORY}" not in held


def test_jobs_find_it_as_they_find_pilots_and_it_leaves_those_that_pilots_leave(
    machine: Machine, pool: Pool
) -> None:
    refused = {name: pool.submit(f"ospool-{name}", MINE, SCRIPT, more) for name, more in REFUSED.items()}
    refused["of no project"] = pool.submit("ospool-none", "", SCRIPT)
    job = pool.submit("ospool-taken", MINE, SCRIPT, TAKEN)
    assert wait_job(machine, pool, job) == COMPLETED
    since = started_at(pool, job)
    for one in refused.values():
        wait_refused(machine, pool, one, since)

    # A site switches off one of the guards, the worker's file all of them.
    machine.put(SITE, b"WORKER_POOL_GUARD_PROJECT = True\n")
    machine.run(["condor_reconfig"])
    assert wait_job(machine, pool, refused.pop("of no project")) == COMPLETED
    configure(machine, told(pool, PoolGuards="no"))
    # It is started now, but there is no registry here that it could have its image from.
    unfetched = refused.pop("registry")
    for name in GUARDED.keys() & refused.keys():
        assert wait_job(machine, pool, refused.pop(name)) == COMPLETED
    machine.wait_until(
        "it was started",
        lambda: pool.job_attributes(unfetched, "NumShadowStarts")[0],
        JOB,
        lambda starts: starts != "undefined",
    )
    pool.remove(unfetched)
    assert "WORKER_POOL_GUARD" not in macros(machine, "START")[0]
    for one in refused.values():
        pool.remove(one)
