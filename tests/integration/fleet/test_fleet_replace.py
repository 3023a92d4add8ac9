"""`worker-bakery fleet replace` on a real control plane: a worker with a job is really drained.

The worker is a machine in namespaces, which has the name of a server of Nova's fake driver. The others are
slots that are advertised, as in test_fleet.py.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.machine import Machine
from bakery.machines.needs import Image
from bakery.machines.network import GATEWAY, Network
from bakery.runtime.conditions import wait_until
from bakery.tokens import signing
from bakery.verify.pool.throwaway_pool import COMPLETED, KEY, RUNNING, TRUST_DOMAIN, Pool
from tests.boot.life import conf, configure, machines, submitted, wait_job, wait_joined
from tests.conftest import BASE, Ended
from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import argv_of, ended, foreign_servers, listed, of, popen, servers
from tests.integration.pool.test_status_command import advertise, slot

pytestmark = pytest.mark.full  # as test_fleet.py
GROUP, PROJECT, NEW = "rolled", "TG-ROLLED", "osg-debian13-new"
ADMIN = "admin@cloud"
# The job runs until the test lets it end.
_GO = "/usr/local/share/go"
_JOB = f"#!/bin/sh\nuntil [ -e {_GO} ]; do sleep 1; done\n"
# condor_drain of the image, as this machine has none; as itself, it has only the token that it is given.
_DRAIN = """#!/bin/sh -e
root={root}
rm -rf "$root/tmp/drain"
cp -a "$_CONDOR_SEC_TOKEN_DIRECTORY" "$root/tmp/drain"
_CONDOR_SEC_TOKEN_DIRECTORY=/tmp/drain exec chroot "$root" condor_drain "$@"
"""


@pytest.fixture(scope="module")
def new_image(plane: Plane) -> str:
    script = """
image = connect("admin").image.create_image(
    name=sys.argv[1], data=b"no disk", disk_format="raw", container_format="bare", visibility="public",
    min_disk=4, min_ram=1024, worker_bakery_kind="osg",
)
print(json.dumps(image.id))
"""
    found: str = plane.python(script, NEW)
    return found


@pytest.fixture
def admin_token(pool: Pool, tmp_path: Path) -> Path:
    (pool.root / "etc/condor/config.d/20-admin.config").write_text(
        f"ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR), {ADMIN}\n"
    )
    pool.reconfigure()
    file = tmp_path / "admin-token"
    made = signing.mint(
        pool.signing_key, KEY, issuer=TRUST_DOMAIN, subject=ADMIN, scopes=("ADMINISTRATOR",), lifetime=3600
    )
    file.write_text(made)
    file.chmod(0o600)
    return file


@pytest.fixture
def condor_drain(pool: Pool, tmp_path: Path) -> dict[str, str]:
    """The environment in which the program is found."""
    program = tmp_path / "bin" / "condor_drain"
    program.parent.mkdir()
    program.write_text(_DRAIN.format(root=pool.root))
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:{os.environ['PATH']}"}


@contextmanager
def joining(plane: Plane, pool: Pool, network: Network, old: set[str]) -> Iterator[None]:
    """While the block runs, workers of new servers join the pool."""
    stop = threading.Event()

    def join() -> None:
        joined = set(old)
        while not stop.wait(2):
            found = set(listed(plane, "--group", GROUP)) - joined
            if found:
                ads = [slot(name, WorkerGroupName=GROUP) for name in sorted(found)]
                advertise(pool, network, f"joining-{len(joined)}", ads)
                joined |= found

    thread = threading.Thread(target=join)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def replace(token: Path, admin_token: Path, *more: str) -> tuple[str, ...]:
    image = ("--image", NEW, "--flavor", "m3.tiny")
    asked = ("--token-file", str(token), "--project", PROJECT, "--pool", GATEWAY, "--group-name", GROUP)
    which = ("--admin-token-file", str(admin_token), "--json")
    return ("fleet", "replace", "--cloud", "site", *image, *asked, *which, *more)


def images(plane: Plane) -> dict[str, tuple[str, str]]:
    """Of each server of the group, its image and the size that it has in its metadata."""
    script = """
found = [one for one in connect("site").compute.servers() if one.name.startswith("rolled-")]
print(json.dumps({one.name: (one.image.id, one.metadata.get("worker_bakery_size", "")) for one in found}))
"""
    return {name: (image, size) for name, (image, size) in plane.python(script).items()}


def test_a_group_is_replaced_also_by_a_run_that_is_killed(
    plane: Plane,
    pool: Pool,
    network: Network,
    token: Path,
    admin_token: Path,
    condor_drain: dict[str, str],
    new_image: str,
    image_root: Path,
    baked: dict[str, Any],
    tmp_path: Path,
) -> None:
    foreign = foreign_servers(plane)
    made = of(plane.bakery(*argv_of(token, "--count", "2", "--json", group=GROUP)))
    old = [one["name"] for one in made["servers"]]
    advertise(pool, network, "rolled", [slot(name, WorkerGroupName=GROUP) for name in old[1:]])
    command = replace(token, admin_token)
    shown = of(plane.bakery(*command))
    assert {one["name"] for one in shown["outdated"]} == set(old) and shown["size"] == 2
    assert set(images(plane)) == set(old) and not shown["done"]

    image = Image(Path(baked["path"]), image_root, BASE.login)
    with machines(image, network, tmp_path) as started, joining(plane, pool, network, set(old)):
        worker = started(old[0])
        worker.wait_booted()
        configure(worker, conf(pool, GROUP, PROJECT))
        wait_joined(worker, pool, GROUP)
        with submitted(pool, "rolled-job", PROJECT, _JOB) as job:
            wait_job(worker, pool, job, ends=(RUNNING,))
            killed = popen(plane, network, *command, "--yes", env=condor_drain)
            wait_until("a server is deleted", lambda: set(old) - set(images(plane)), seconds=300)
            os.kill(killed.pid, signal.SIGKILL)
            killed.communicate()
            left = images(plane)
            assert old[0] in left and all(size == "2" for _, size in left.values())

            again = popen(plane, network, *command, "--yes", env=condor_drain)
            try:
                _is_drained(worker, pool, old[0])
                worker.put(_GO, b"")
                wait_job(worker, pool, job, ends=(COMPLETED,))
                assert pool.job(job)[1] == 1  # it was started once, and nobody has ended it
                done = of(ended(again))
            finally:
                again.kill()
    assert old[0] in {one["name"] for one in done["deleted"]} and done["done"]
    left = images(plane)
    assert len(left) == 2 and set(left.values()) == {(new_image, "")} and not set(left) & set(old)
    assert foreign <= set(servers(plane))


def _is_drained(worker: Machine, pool: Pool, name: str) -> None:
    """It takes no further job while its own runs, and says why."""
    worker.wait_until(
        "the worker drains",
        lambda: pool.slot_attributes(name, "Draining", "DrainReason", name_attribute="Machine"),
        300,
        lambda rows: any("true" in row and "another image" in row for row in rows),
    )


def test_new_workers_that_do_not_join_stop_it(plane: Plane, token: Path, admin_token: Path) -> None:
    """After the test above, whose servers are replaced by those of the first image again."""
    before = images(plane)
    command = [*replace(token, admin_token, "--yes", "--join-limit", "20s", "--force", "--at-once", "2")]
    command[command.index(NEW)] = "osg-debian13"
    stopped: Ended = plane.bakery(*command)
    assert stopped.status == 5, stopped.err
    assert "0 of 1 workers are in the pool" in stopped.err
    assert "The replacement has stopped: 1 server of another image stay" in stopped.err
    left = images(plane)
    assert len(left) == 2 and len(set(left) & set(before)) == 1
    assert all(size == "2" for _, size in left.values())  # a further run goes on
    of(plane.bakery("fleet", "delete", "--cloud", "site", "--group", GROUP, "--yes", "--force", "--json"))


def test_a_group_without_servers(plane: Plane, token: Path, admin_token: Path) -> None:
    missing = plane.bakery(*replace(token, admin_token, "--yes"))
    assert missing.status == 2 and "The group has no servers" in missing.err
