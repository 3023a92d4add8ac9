"""From gen-userdata's options to what the image's own HTCondor reads of the pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.tokens import signing
from bakery.userdata import rendering
from provisioner.process.run import call
from tests.conftest import command

NAMES = ("CONDOR_HOST", "COLLECTOR_HOST", "CCB_ADDRESS", "TRUST_DOMAIN")
# What the worker does at its start, up to HTCondor's; by the image's own table and programs.
CONFIGURE = """
import sys
sys.path.insert(0, "/usr/lib/worker-bakery")
from worker_runtime.configuration import condor_config, configuration_check, kind, worker_file
from worker_runtime.system import files, paths
mine = kind.load()
read = worker_file.parse(open(mine.file, "rb").read(), mine.keys, mine.form)
assert not (read.problems or read.warnings), read
machine = condor_config.Machine(0, {}, 2)
verdict = configuration_check.check_configuration(mine, read.values, machine)
assert not (verdict.problems or verdict.warnings), verdict
path, text = paths.CONFIG_DIR + "/" + mine.config_name, condor_config.render(mine, read.values, machine)
files.put(path, text.encode(), 0o644)
"""
TODAY = "cm-1.ospool.osg-htc.org,cm-2.ospool.osg-htc.org"
FACILITY = "cm-1.facility.path-cc.io,cm-2.facility.path-cc.io"
EARLIER = "flock.opensciencegrid.org"


def behind(hosts: str, socket: str) -> str:
    return ",".join(f"{host}:9618?sock={socket}" for host in hosts.split(","))


def asked(root: Path, tmp_path: Path, *options: str) -> tuple[list[str], str]:
    """What HTCondor reads of a worker with the user-data of these options, and what gen-userdata said."""
    token = tmp_path / "token"
    token.write_text(
        signing.mint(
            b"k" * 64, "POOL", issuer=EARLIER, subject="w@x", scopes=("ADVERTISE_STARTD",), lifetime=9**6
        )
    )
    token.chmod(0o600)
    made = command("gen-userdata", "--token-file", str(token), "--project", "TG-ABC123", *options)
    assert made.status == 0, made.err
    (root / "etc/osg-worker.conf").write_text(rendering.extract_conf(made.out))
    inside = ["unshare", "--uts", "sh", "-ec", 'hostname localhost; exec chroot "$@"', "x", str(root)]
    call([*inside, "python3", "-c", CONFIGURE], seconds=300)
    return call([*inside, "condor_config_val", *NAMES], seconds=120).stdout.splitlines(), made.err


def test_without_further_options_it_asks_the_ospool_of_today(worker_root: Path, tmp_path: Path) -> None:
    read, said = asked(worker_root, tmp_path)
    brokers = TODAY.replace("cm-", "ccb-")
    assert read == [TODAY, behind(TODAY, "collector3"), behind(brokers, "collector3"), EARLIER]
    assert "condor_status -pool cm-1.ospool.osg-htc.org" in said


def test_the_name_of_before_is_asked_as_before(worker_root: Path, tmp_path: Path) -> None:
    [host, collector, broker, trust_domain], said = asked(worker_root, tmp_path, "--pool", EARLIER)
    assert (host, collector, broker) == (EARLIER, EARLIER, EARLIER)
    assert trust_domain not in (
        "",
        "None",
    )  # HTCondor's own default, of which a worker's token knows nothing
    assert f"note: {EARLIER} is a former central manager of the OSPool" in said
    assert f"condor_status -pool {EARLIER}" in said


@pytest.mark.parametrize(
    ("pool", "read"),
    [
        (
            "ospool",
            [
                TODAY,
                behind(TODAY, "collector3"),
                behind(TODAY.replace("cm-", "ccb-"), "collector3"),
                EARLIER,
            ],
        ),
        ("path-facility", [FACILITY, FACILITY, behind(FACILITY, "collector9622")]),
        (
            "cm.example.org,[2001:db8::1]:9619",
            ["cm.example.org,[2001:db8::1]", *["cm.example.org,[2001:db8::1]:9619"] * 2],
        ),
    ],
)
def test_a_pool_by_its_name_or_its_managers(
    pool: str, read: list[str], worker_root: Path, tmp_path: Path
) -> None:
    found, _ = asked(worker_root, tmp_path, "--pool", pool, "--allow", "foreign-token")
    assert found[: len(read)] == read
