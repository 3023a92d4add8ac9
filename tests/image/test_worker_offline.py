"""The worker's software is there, configured, and waits for its configuration."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.offline


def test_packages_are_installed(host: Any, system: Any) -> None:
    assert [name for name in system.packages if not host.package(name).is_installed] == []


@pytest.mark.machine
def test_packages_of_a_machine_are_installed(host: Any, system: Any) -> None:
    """cloud-init tells it what to do; on EL chronyd keeps the clock."""
    assert [name for name in system.machine if not host.package(name).is_installed] == []


@pytest.mark.machine
@pytest.mark.parametrize("unit", ["{name}.path", "{name}.service", "worker-life.service"])
def test_unit_starts_at_boot(host: Any, unit: str, kind: dict[str, Any]) -> None:
    assert host.check_output("systemctl is-enabled %s", unit.format(**kind)) == "enabled"


@pytest.mark.machine
def test_only_one_kind_of_worker_is_there(host: Any, kind: dict[str, Any]) -> None:
    found = host.check_output("ls /usr/lib/systemd/system").split()
    assert {name for name in found if name.endswith("-worker.service")} == {f"{kind['name']}.service"}


@pytest.mark.machine
def test_ssh_starts_at_boot(host: Any, system: Any) -> None:
    assert host.check_output("systemctl is-enabled %s", system.ssh_unit) == "enabled"


@pytest.mark.machine
def test_condor_waits_for_its_configuration(host: Any) -> None:
    assert host.run("systemctl is-enabled condor.service").stdout.strip() == "disabled"


@pytest.mark.parametrize("folder", ["/etc/condor/tokens.d", "/etc/condor/passwords.d"])
def test_folder_of_secrets_is_root_s_alone(host: Any, folder: str) -> None:
    found = host.file(folder)
    assert (found.user, found.group, found.mode) == ("root", "root", 0o700)


def test_unconfigured_image_takes_no_job(host: Any) -> None:
    assert host.check_output("condor_config_val START") == "False"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DAEMON_LIST", "MASTER, STARTD"),
        ("SHARED_PORT_PORT", "0"),
        ("STARTER_ALLOW_RUNAS_OWNER", "False"),
        ("SEC_CLIENT_AUTHENTICATION", "REQUIRED"),
    ],
)
def test_condor_setting(host: Any, name: str, value: str) -> None:
    assert host.check_output("condor_config_val %s", name) == value


def test_tools_of_the_runtime_are_installed(host: Any, system: Any) -> None:
    for tool in (*system.tools, "lsblk", "blkid", "wipefs", "mkfs.ext4", "mount"):
        assert host.run("PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v %s", tool).rc == 0, tool


def test_the_place_of_jobs_is_for_each_machine_to_find(host: Any) -> None:
    assert not host.file("/etc/condor/config.d/80-worker-storage.config").exists


def test_condor_has_an_account(host: Any) -> None:
    assert host.user("condor").shell in ("/usr/sbin/nologin", "/bin/false", "/sbin/nologin")


def test_runtime_compiles_on_the_image_s_python(host: Any) -> None:
    script = (
        "import pathlib; [compile(p.read_text(), str(p), 'exec') "
        "for p in pathlib.Path('/usr/lib/worker-bakery').rglob('*.py')]"
    )
    assert host.run("python3 -c %s", script).rc == 0
    assert host.file("/usr/lib/worker-bakery/worker").mode == 0o755
