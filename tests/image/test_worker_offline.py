"""The worker's software is installed, and takes no job before it is configured."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.offline

SYSTEM = "/usr/lib/systemd/system"
UNITS = (
    "worker-life.service",
    "worker-metadata-guard.service",
    "worker-resources.service",
    "worker-storage.service",
)
# Import all modules of the runtime: each is there, and so is what it imports.
_IMPORT = """
import importlib, pathlib, sys
sys.dont_write_bytecode = True
root = pathlib.Path("/usr/lib/worker-bakery")
sys.path.insert(0, str(root))
for path in sorted(root.glob("worker_runtime/**/*.py")):
    importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
"""


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
def test_units_that_the_worker_requires_exist_and_are_not_masked(host: Any, kind: dict[str, Any]) -> None:
    """systemd starts HTCondor without a unit that it only wants, and not at all without a required one."""
    wanted = {*UNITS, f"{kind['name']}.path", f"{kind['name']}.service"}
    found = host.check_output("ls %s", SYSTEM).split()
    assert wanted - set(found) == set()
    masked = host.run("find /etc/systemd/system /run/systemd -type l -lname /dev/null").stdout.split()
    assert {path.rpartition("/")[2] for path in masked} & {*wanted, "condor.service"} == set()


@pytest.mark.machine
@pytest.mark.parametrize(
    ("drop_in", "row"),
    [
        ("condor.service.d/50-worker.conf", "Requires=worker-metadata-guard.service"),
        ("condor.service.d/50-worker.conf", "Wants=worker-storage.service"),
        ("condor.service.d/60-worker-jobs.conf", "Requires=worker-resources.service"),
        ("nftables.service.d/50-worker.conf", "ExecStartPost=-/usr/lib/worker-bakery/worker guard"),
    ],
)
def test_a_unit_has_the_settings_of_the_worker(host: Any, drop_in: str, row: str) -> None:
    """Without them, HTCondor starts although jobs are not cut off from the metadata service."""
    assert row in host.run("cat %s", f"{SYSTEM}/{drop_in}").stdout.splitlines()
    name = drop_in.partition("/")[0]
    replaced = host.run("find /etc/systemd/system/%s -type f", name).stdout
    assert replaced == "", f"a drop-in may take back what the worker requires: {replaced}"


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
    """A container image has a file that includes the one that the worker writes to /run."""
    file = host.file("/etc/condor/config.d/80-worker-storage.config")
    assert not file.exists or "EXECUTE" not in file.content_string


def test_condor_account_has_no_login_shell(host: Any) -> None:
    assert host.user("condor").shell in ("/usr/sbin/nologin", "/bin/false", "/sbin/nologin")


def test_runtime_is_imported_by_the_image_s_python(host: Any) -> None:
    done = host.run("python3 -c %s", _IMPORT)
    assert done.rc == 0, done.stderr
    assert host.file("/usr/lib/worker-bakery/worker").mode == 0o755
