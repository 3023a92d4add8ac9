"""A machine booted from the image with generated user-data is a configured, healthy worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bakery.runtime.conditions import wait_until

pytestmark = pytest.mark.boot


@pytest.fixture(scope="module")
def token_file(kind: dict[str, Any]) -> str:
    return f"/etc/condor/tokens.d/{kind['name']}.token"


# The machine itself waits: under software emulation, each ssh login and sudo takes seconds.
_SETTLED = """
state=$(systemctl is-system-running)
case $state in
    running | degraded)
        systemctl -q is-active condor.service || state="condor.service is not active"
        [ -e /var/lib/cloud/instance/boot-finished ] || state="cloud-init has not finished" ;;
esac
echo "$state"
"""
_WAIT_SECONDS = 60  # of one wait in the machine; it is repeated


@pytest.fixture(scope="module", autouse=True)
def settled(host: Any, expected: dict[str, Any]) -> str:
    """systemd's state after the boot and the configuration of HTCondor, for which every test waits."""
    seconds = expected["settle_seconds"]
    state = wait_until(
        "the machine has booted",
        lambda: str(host.run("sh -c %s", _SETTLED).stdout.strip()),
        lambda state: state in ("running", "degraded"),
        seconds,
    )
    _wait_for("configured", host, seconds)
    return state


def _wait_for(goal: str, host: Any, seconds: float) -> None:
    what = f"worker-image wait --for {goal}"
    wait_until(what, lambda: _waited(what, host), lambda answer: answer[0] == 0, seconds)


def _waited(command: str, host: Any) -> tuple[int, str]:
    done = host.run(f"{command} --timeout {_WAIT_SECONDS}s")
    return done.rc, f"{done.stdout}{done.stderr}".strip()


def test_no_unit_failed(host: Any, settled: str) -> None:
    assert settled == "running", host.run("systemctl --failed --no-legend --plain").stdout


def test_cloud_init_reports_no_error(host: Any) -> None:
    """cloud-init writes its result after boot-finished, so the test waits for it."""
    done = wait_until(
        "cloud-init has finished",
        lambda: host.run("cloud-init status --long"),
        lambda answer: "status: running" not in answer.stdout,
    )
    assert done.rc == 0, done.stdout


@pytest.mark.virtual
def test_root_file_system_has_grown_to_the_disk(host: Any) -> None:
    size = int(host.check_output("df --output=size -B1 /").split()[-1])
    assert size > 7 * 2**30


def test_machine_has_its_own_machine_id_and_host_name(host: Any, expected: dict[str, Any]) -> None:
    assert len(host.file("/etc/machine-id").content_string.strip()) == 32
    assert host.check_output("uname -n") == expected["hostname"]


@pytest.mark.virtual
def test_machine_has_its_own_ssh_host_keys(host: Any) -> None:
    assert host.file("/etc/ssh/ssh_host_ed25519_key").exists


def test_host_name_resolves(host: Any, expected: dict[str, Any]) -> None:
    assert host.run("getent hosts %s", expected["hostname"]).rc == 0


def test_token_file_is_readable_by_root_only(host: Any, expected: dict[str, Any], token_file: str) -> None:
    token = host.file(token_file)
    assert (token.user, token.mode) == ("root", 0o600)
    assert token.content_string.strip() == expected["token"]


def test_worker_file_is_readable_by_root_only(host: Any, kind: dict[str, Any]) -> None:
    conf = host.file(kind["file"])
    assert (conf.user, conf.mode) == ("root", 0o600)


def test_start_is_the_conjunction_of_the_image_s_and_the_user_s(
    host: Any, expected: dict[str, Any]
) -> None:
    start = host.check_output("condor_config_val START")
    assert start.endswith(f"&& ( {expected['start']} )"), start
    assert start.startswith("( MY.NODE_IS_HEALTHY =?= True ) && "), start


def test_advertised_attributes_have_the_exact_values(host: Any, expected: dict[str, Any]) -> None:
    for name, value in expected["advertised"].items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        assert host.check_output("condor_config_val %s", name) == f'"{quoted}"'


def test_central_manager_is_the_configured_one(host: Any, expected: dict[str, Any]) -> None:
    assert host.check_output("condor_config_val CONDOR_HOST") == expected["central_manager"]


def test_no_token_is_in_the_process_list_or_the_journal(
    host: Any, expected: dict[str, Any], token_file: str
) -> None:
    """grep reads the token from a file, so that its own command line does not have it."""
    search = f"cut -c1-40 {token_file} > /run/needle; chmod 600 /run/needle; "
    assert host.run(search + "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -qFf /run/needle").rc == 1
    assert host.run("journalctl --no-pager -o cat | grep -qFf /run/needle").rc == 1
    signature = expected["token"].rsplit(".", 1)[-1]
    assert signature


def test_no_token_is_in_a_world_readable_file_or_a_log(host: Any) -> None:
    """Logs are searched whatever their mode. Folders that others cannot enter are skipped elsewhere."""
    find, skip_private = "find /etc /var /run /tmp /home /root /opt -xdev", "-type d ! -perm -o=x -prune"
    search = "-exec grep -lFf /run/needle {} + ; true"
    assert host.check_output(f"{find} {skip_private} -o -type f -perm -o=r {search}") == ""
    assert host.check_output(f"find /var/log -type f {search}") == ""


def test_a_package_source_of_the_distribution_is_configured(host: Any, system: Any) -> None:
    """On Debian, cloud-init writes it at the first boot; the image has none."""
    paths = "/etc/apt/sources.list /etc/apt/sources.list.d /etc/yum.repos.d"
    assert host.run(f"grep -rhsE %s {paths}", system.sources).stdout


def test_the_watch_runs_and_reports_a_healthy_worker(host: Any, expected: dict[str, Any]) -> None:
    assert host.service("worker-life").is_running
    group = ", ".join(expected["advertised"].values())

    def is_configured(status: dict[str, Any]) -> bool:
        return bool((status["group"], status["start"]) == (group, expected["start"]))

    wait_until("the status shows the configuration", lambda: _status(host), is_configured)
    _wait_for("joined", host, expected["settle_seconds"])
    wait_until("the worker is healthy", lambda: _status(host)["health"], lambda health: health == "OK")


def _status(host: Any) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(host.check_output("worker-image status --json"))
    return status


def test_metadata_service_is_blocked_for_all_but_root(host: Any, system: Any) -> None:
    command = "iptables -S" if system.family == "el7" else "nft list table inet worker_metadata"
    wait_until(
        "the firewall has a rule for the service",
        lambda: host.run(command).stdout,
        lambda text: _METADATA in text,
    )


_METADATA = "169.254.169.254"


@pytest.mark.parametrize("folder", ["/var/lib/cloud/instances", "/var/lib/cloud/seed"])
def test_folder_of_user_data_is_accessible_by_root_only(host: Any, folder: str) -> None:
    found = host.file(folder)
    assert not found.exists or found.mode == 0o700
