"""The worker's software is installed, and takes no job before it is configured."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.offline


def test_packages_of_a_worker_are_installed(host: Any, system: Any) -> None:
    assert [name for name in system.packages if not host.package(name).is_installed] == []


@pytest.mark.machine
def test_packages_of_a_machine_are_installed(host: Any, system: Any) -> None:
    """cloud-init runs the user-data; on Enterprise Linux chronyd synchronizes the clock."""
    assert [name for name in system.machine if not host.package(name).is_installed] == []


@pytest.mark.machine
@pytest.mark.parametrize("unit", ["{name}.path", "{name}.service", "worker-life.service"])
def test_unit_of_the_worker_starts_at_boot(host: Any, unit: str, kind: dict[str, Any]) -> None:
    assert host.check_output("systemctl is-enabled %s", unit.format(**kind)) == "enabled"


@pytest.mark.machine
def test_one_kind_of_worker_only_is_installed(host: Any, kind: dict[str, Any]) -> None:
    found = host.check_output("ls /usr/lib/systemd/system").split()
    assert {name for name in found if name.endswith("-worker.service")} == {f"{kind['name']}.service"}


@pytest.mark.machine
def test_ssh_server_starts_at_boot(host: Any, system: Any) -> None:
    assert host.check_output("systemctl is-enabled %s", system.ssh_unit) == "enabled"


@pytest.mark.machine
def test_condor_does_not_start_at_boot(host: Any) -> None:
    assert host.run("systemctl is-enabled condor.service").stdout.strip() == "disabled"


@pytest.mark.parametrize("folder", ["/etc/condor/tokens.d", "/etc/condor/passwords.d"])
def test_folder_of_secrets_is_accessible_by_root_only(host: Any, folder: str) -> None:
    found = host.file(folder)
    assert (found.user, found.group, found.mode) == ("root", "root", 0o700)


def test_start_is_false_without_a_configuration(host: Any) -> None:
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
def test_condor_setting_has_the_required_value(host: Any, name: str, value: str) -> None:
    assert host.check_output("condor_config_val %s", name) == value


def test_tools_of_the_runtime_are_installed(host: Any, system: Any) -> None:
    for tool in (*system.tools, "lsblk", "blkid", "wipefs", "mkfs.ext4", "mount"):
        assert host.run("PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v %s", tool).rc == 0, tool


def test_execute_folder_is_not_set_in_the_image(host: Any) -> None:
    assert not host.file("/etc/condor/config.d/80-worker-storage.config").exists


def test_condor_account_has_no_login_shell(host: Any) -> None:
    assert host.user("condor").shell in ("/usr/sbin/nologin", "/bin/false", "/sbin/nologin")


def test_runtime_compiles_with_the_image_s_python(host: Any) -> None:
    script = (
        "import pathlib; [compile(p.read_text(), str(p), 'exec') "
        "for p in pathlib.Path('/usr/lib/worker-bakery').rglob('*.py')]"
    )
    assert host.run("python3 -c %s", script).rc == 0
    assert host.file("/usr/lib/worker-bakery/worker").mode == 0o755
