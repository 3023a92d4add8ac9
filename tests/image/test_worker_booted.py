"""A machine booted from the image, with generated user-data, is a healthy worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bakery.machines.conditions import until

pytestmark = pytest.mark.boot


@pytest.fixture(scope="module")
def token_file(kind: dict[str, Any]) -> str:
    return f"/etc/condor/tokens.d/{kind['name']}.token"


# Waited for by programs in the machine: each login and sudo would take an emulated one seconds.
_SETTLED = """
state=$(systemctl is-system-running)
case $state in
    running | degraded)
        systemctl -q is-active condor.service || state="condor.service is not active"
        [ -e /var/lib/cloud/instance/boot-finished ] || state="cloud-init has not finished" ;;
esac
echo "$state"
"""
_SOME = 60  # seconds of one wait in the machine; it is asked again


@pytest.fixture(scope="module", autouse=True)
def settled(host: Any, expected: dict[str, Any]) -> str:
    """The machine's state once boot is over and HTCondor is configured; every test here waits for it."""
    seconds = expected["settle_seconds"]
    state = until(
        "the machine has booted",
        lambda: str(host.run("sh -c %s", _SETTLED).stdout.strip()),
        lambda said: said in ("running", "degraded"),
        seconds,
    )
    _wait_for("configured", host, seconds)
    return state


def _wait_for(goal: str, host: Any, seconds: float) -> None:
    what = f"worker-image wait --for {goal}"
    until(what, lambda: _waited(what, host), lambda answer: answer[0] == 0, seconds)


def _waited(command: str, host: Any) -> tuple[int, str]:
    done = host.run(f"{command} --timeout {_SOME}s")
    return done.rc, f"{done.stdout}{done.stderr}".strip()


def test_no_unit_failed(host: Any, settled: str) -> None:
    assert settled == "running", host.run("systemctl --failed --no-legend --plain").stdout


def test_cloud_init_found_no_error(host: Any) -> None:
    """It writes its result after boot-finished."""
    said = until(
        "cloud-init has its result",
        lambda: host.run("cloud-init status --long"),
        lambda done: "status: running" not in done.stdout,
    )
    assert said.rc == 0, said.stdout


@pytest.mark.virtual
def test_root_has_grown(host: Any) -> None:
    size = int(host.check_output("df --output=size -B1 /").split()[-1])
    assert size > 7 * 2**30


def test_machine_has_an_identity_of_its_own(host: Any, expected: dict[str, Any]) -> None:
    assert len(host.file("/etc/machine-id").content_string.strip()) == 32
    assert host.check_output("uname -n") == expected["hostname"]


@pytest.mark.virtual
def test_machine_has_host_keys_of_its_own(host: Any) -> None:
    assert host.file("/etc/ssh/ssh_host_ed25519_key").exists


def test_host_name_resolves(host: Any, expected: dict[str, Any]) -> None:
    assert host.run("getent hosts %s", expected["hostname"]).rc == 0


def test_token_is_where_only_root_reads_it(host: Any, expected: dict[str, Any], token_file: str) -> None:
    token = host.file(token_file)
    assert (token.user, token.mode) == ("root", 0o600)
    assert token.content_string.strip() == expected["token"]


def test_configuration_file_became_private(host: Any, kind: dict[str, Any]) -> None:
    conf = host.file(kind["file"])
    assert (conf.user, conf.mode) == ("root", 0o600)


def test_start_is_the_image_s_and_the_user_s(host: Any, expected: dict[str, Any]) -> None:
    start = host.check_output("condor_config_val START")
    assert start.endswith(f"&& ( {expected['start']} )"), start
    assert start.startswith("( MY.NODE_IS_HEALTHY =?= True ) && "), start


def test_what_it_is_found_by_is_carried_exactly(host: Any, expected: dict[str, Any]) -> None:
    for name, value in expected["advertised"].items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        assert host.check_output("condor_config_val %s", name) == f'"{quoted}"'


def test_central_manager(host: Any, expected: dict[str, Any]) -> None:
    assert host.check_output("condor_config_val CONDOR_HOST") == expected["central_manager"]


def test_token_is_in_no_process_list_and_no_journal(
    host: Any, expected: dict[str, Any], token_file: str
) -> None:
    """The needle goes in by standard input's file, never as an argument of its own search."""
    search = f"cut -c1-40 {token_file} > /run/needle; chmod 600 /run/needle; "
    assert host.run(search + "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -qFf /run/needle").rc == 1
    assert host.run("journalctl --no-pager -o cat | grep -qFf /run/needle").rc == 1
    signature = expected["token"].rsplit(".", 1)[-1]
    assert signature


def test_token_is_in_no_world_readable_file(host: Any) -> None:
    """Nor in a log, whoever may read it.

    What lies in a folder that others do not enter, they cannot read.
    """
    places, reached = "find /etc /var /run /tmp /home /root /opt -xdev", "-type d ! -perm -o=x -prune"
    search = "-exec grep -lFf /run/needle {} + ; true"
    assert host.check_output(f"{places} {reached} -o -type f -perm -o=r {search}") == ""
    assert host.check_output(f"find /var/log -type f {search}") == ""


def test_package_sources_are_the_distribution_s(host: Any, system: Any) -> None:
    """On Debian, cloud-init wrote them at first boot; the image itself carries none."""
    places = "/etc/apt/sources.list /etc/apt/sources.list.d /etc/yum.repos.d"
    assert host.run(f"grep -rhsE %s {places}", system.sources).stdout


def test_worker_s_life_is_looked_after(host: Any, expected: dict[str, Any]) -> None:
    assert host.service("worker-life").is_running
    named = ", ".join(expected["advertised"].values())

    def configured(said: dict[str, Any]) -> bool:
        return bool((said["group"], said["start"]) == (named, expected["start"]))

    until("its status is of its configuration", lambda: _status(host), configured)
    _wait_for("joined", host, expected["settle_seconds"])
    until("it is healthy", lambda: _status(host)["health"], lambda health: health == "OK")


def _status(host: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(host.check_output("worker-image status --json"))
    return said


def test_only_root_reaches_the_metadata_service(host: Any, system: Any) -> None:
    shown = "iptables -S" if system.family == "el7" else "nft list table inet worker_metadata"
    until("the rules name the service", lambda: host.run(shown).stdout, lambda text: _METADATA in text)


_METADATA = "169.254.169.254"


@pytest.mark.parametrize("folder", ["/var/lib/cloud/instances", "/var/lib/cloud/seed"])
def test_nobody_but_root_enters_where_user_data_is_kept(host: Any, folder: str) -> None:
    found = host.file(folder)
    assert not found.exists or found.mode == 0o700
