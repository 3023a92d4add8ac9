"""The life of a worker, from its configuration to its power-off, in namespace machines.

Real systemd, real HTCondor, no pool: its central manager is a port of its own loopback where
nobody answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bakery.machines import namespace
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.userdata.rendering import WorkerConf, render
from tests.boot.life import CONF

TOKEN_FILE = "/etc/condor/tokens.d/osg-worker.token"
CONFIG_FILE = "/etc/condor/config.d/90-osg-worker.config"
TOKEN = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJ3b3JrZXJAY2xvdWQifQ.n0tt0besEEn-0"
GPUS = "MY.TotalGPUs =?= undefined || MY.TotalGPUs == 0 || TARGET.RequestGPUs > 0"
GUARDED = f"( MY.NODE_IS_HEALTHY =?= True ) && ( {GPUS} ) && ( True ) && ( {{}} )"


@pytest.fixture
def machine(worker_image: Image, tmp_path: Path) -> Iterator[Machine]:
    """A worker that is up and waits for its configuration."""
    with boot(Needs(), worker_image, tmp_path) as up:
        wait_well(up)
        yield up


@contextmanager
def booted(root: Path, console: Path) -> Iterator[namespace.NamespaceMachine]:
    """One whose root directory, in namespaces, outlives it."""
    with namespace.boot(root, console=console, arguments=["cloud-init=disabled"]) as machine:
        wait_well(machine)
        yield machine


def wait_well(machine: Machine) -> None:
    assert machine.wait_booted() == "running", machine.run(["systemctl", "--failed"]).stdout


def conf(group: str = "Test", start: str = "True", idle: int = 600, token: str = TOKEN) -> str:
    return (
        f"WorkerGroupName = {group}\nToken = {token}\nStart = {start}\n"
        f"CentralManager = 127.0.0.1\nIdleTimeout = {idle}\n"
    )


def write(machine: Machine, text: str) -> None:
    """As the shell scripts of user-data do it: not at once, and readable by everybody."""
    machine.run(["sh", "-c", f"umask 022; cat >{CONF}"], stdin=text.encode())


def shell(machine: Machine, script: str) -> str:
    return machine.run(["sh", "-c", script], expect=range(256)).stdout.strip()


def macros(machine: Machine, *names: str) -> list[str]:
    return machine.run(["condor_config_val", *names]).stdout.splitlines()


def state(machine: Machine, unit: str) -> str:
    return shell(machine, f"systemctl is-active {unit}")


def master(machine: Machine) -> int:
    """condor_master's PID, or 0."""
    return int(shell(machine, "systemctl show -p MainPID --value condor.service"))


def wait_for_startd(machine: Machine) -> None:
    machine.wait_until("HTCondor's startd runs", lambda: bool(slot(machine, "Name")), 120)


def slot(machine: Machine, attribute: str) -> str:
    """An attribute of the slot, as this worker advertises it to a pool."""
    address = "$(head -n 1 /var/log/condor/.startd_address)"
    said = shell(machine, f'condor_status -direct "{address}" -af "{attribute}" 2>/dev/null')
    return "" if said == "undefined" else said


def wait_for_group(machine: Machine, name: str) -> None:
    machine.wait_until(f"the slot's group is {name}", lambda: slot(machine, "WorkerGroupName") == name, 120)


def mode(machine: Machine, path: str) -> str:
    return machine.run(["stat", "-c", "%a %u:%g", path]).stdout.strip()


def files_with(machine: Machine, text: str) -> set[str]:
    return set(shell(machine, f"grep -rlas -- {text} /etc /var /run /tmp /root").splitlines())


def test_a_late_configuration_starts_htcondor_and_a_change_is_followed(
    machine: Machine,
) -> None:
    machine.wait_for_console_text("osg-worker: waiting for /etc/osg-worker.conf")
    assert state(machine, "osg-worker.path") == "active"
    assert state(machine, "condor.service") == "inactive"

    name = r'A "b" \ c\d \" $(SECRET) $ENV(PATH) $5 é # ; @=x include command : id' + "\\"
    start = r'TARGET.Owner == "$(HOME) \" ) \ \\d $" || (2 / 1 > Nothing)'
    write(machine, conf(name, start))
    wait_for_group(machine, name)

    assert slot(machine, "size(WorkerGroupName)") == str(len(name.encode()))
    # The startd's configuration takes backslashes as they are; unparsed, they are doubled.
    advertised = start.replace(r"\ \\d", r"\\ \\\\d")
    assert slot(machine, "unparse(Start)").endswith(f" && (true) && ({advertised})")
    assert slot(machine, "OSPool") == "false"
    wanted = [GUARDED.format(start), "127.0.0.1", "127.0.0.1", "600", "60"]
    assert wanted == macros(
        machine, "START", "CONDOR_HOST", "COLLECTOR_HOST", "STARTD_NOCLAIM_SHUTDOWN",
        "UPDATE_INTERVAL",
    )  # fmt: skip
    assert macros(machine, "DAEMON_LIST", "CCB_ADDRESS") == ["MASTER, STARTD", "127.0.0.1"]
    assert mode(machine, CONF) == "600 0:0"
    assert mode(machine, TOKEN_FILE) == "600 0:0"
    assert mode(machine, str(Path(TOKEN_FILE).parent)) == "700 0:0"
    assert mode(machine, CONFIG_FILE) == "644 0:0"
    same = ["cmp", "-", TOKEN_FILE]  # what a machine prints is scrubbed of tokens
    machine.run(same, stdin=f"{TOKEN}\n".encode())
    assert files_with(machine, "n0tt0besEEn-0") == {CONF, TOKEN_FILE}

    # The same once more changes nothing: there may be jobs.
    running = master(machine)
    write(machine, conf(name, start))
    machine.wait_for_console_text("nothing has changed")
    assert master(machine) == running

    write(machine, conf("Other", token=TOKEN.replace("n0tt0besEEn-0", "n0tt0besEEn-1")))
    wait_for_group(machine, "Other")
    assert master(machine) == running
    assert files_with(machine, "n0tt0besEEn-0") == set()
    assert files_with(machine, "n0tt0besEEn-1") == {CONF, TOKEN_FILE}
    assert state(machine, "osg-worker.service") == "inactive"
    assert machine.run(["systemctl", "--failed", "--quiet"]).stdout == ""


def test_a_bad_configuration_is_explained_starts_nothing_and_can_be_corrected(
    machine: Machine,
) -> None:
    write(machine, f"token = {TOKEN} x\n{TOKEN}\nStart =\nCentralManager = a b\nColour = {TOKEN}\n")
    machine.wait_until("it is refused", lambda: state(machine, "osg-worker.service") == "failed", 120)
    for said in (
        "Token contains a blank", "Start is empty", "CentralManager is not of the form",
        "line 2: not of the form", "unknown key, ignored: Colour", "token is read as Token",
        "HTCondor was not started",
    ):  # fmt: skip
        assert said in machine.console_text()
        assert said in shell(machine, "journalctl --no-pager -b -u osg-worker.service")

    # Closed, but only HTCondor's own parser can tell that it is no expression.
    write(machine, conf(start="TARGET.Owner == == 1"))
    machine.wait_for_console_text("Start is not a ClassAd")
    assert state(machine, "condor.service") == "inactive"
    assert not machine.succeeds("ls", TOKEN_FILE) and not machine.succeeds("ls", CONFIG_FILE)
    assert "n0tt0besEEn" not in machine.console_text()
    assert shell(machine, "journalctl --no-pager -b | grep n0tt0besEEn") == ""
    assert files_with(machine, "n0tt0besEEn") == {CONF}

    write(machine, conf())
    wait_for_startd(machine)
    machine.wait_until("the unit is well", lambda: state(machine, "osg-worker.service") == "inactive", 120)


def test_a_file_that_is_written_slowly_or_often_is_read_whole_and_last(
    machine: Machine,
) -> None:
    head, tail = conf("Slow").split("Start", 1)
    script = f"exec >{CONF}; sleep 1; printf %s '{head}'; sleep 1.5; printf %s 'Start{tail}'"
    machine.run(["sh", "-c", script])
    wait_for_group(machine, "Slow")
    for number in range(12):  # more often than systemd starts a unit whose starts are limited
        machine.run(["sh", "-c", f"cat >{CONF}.new; mv {CONF}.new {CONF}"],
                    stdin=conf(f"Often{number}").encode())  # fmt: skip
    wait_for_group(machine, "Often11")
    assert state(machine, "osg-worker.path") == "active"


def test_a_script_in_the_user_data_may_write_the_configuration(worker_image: Image, tmp_path: Path) -> None:
    # cloud-init runs such scripts last of all, after multi-user.target.
    settings = {"IdleTimeout": "600"}
    told = WorkerConf(
        token=TOKEN, start="True", group_name="Cloudy", central_manager="127.0.0.1", settings=settings
    )
    with boot(Needs(user_data=render(told, "script")), worker_image, tmp_path) as machine:
        machine.wait_booted()
        assert shell(machine, "systemctl is-enabled condor.service") == "disabled"
        wait_for_group(machine, "Cloudy")
        assert mode(machine, CONF) == "600 0:0"
        assert shell(machine, "journalctl --no-pager -b | grep -i 'ordering cycle'") == ""
        assert state(machine, "multi-user.target") == "active"


def test_a_crash_is_repaired_and_an_administrators_stop_is_a_stop(
    machine: Machine,
) -> None:
    write(machine, conf())
    wait_for_startd(machine)
    crashed = master(machine)
    machine.run(["kill", "-KILL", str(crashed)])
    machine.wait_until("systemd repairs a crash", lambda: master(machine) not in (0, crashed), 120)
    wait_for_startd(machine)

    repaired = master(machine)
    machine.run(["systemctl", "restart", "condor.service"])
    machine.wait_until("there is a new one", lambda: master(machine) not in (0, repaired), 120)
    wait_for_startd(machine)
    machine.run(["systemctl", "stop", "condor.service"])
    assert state(machine, "condor.service") == "inactive"
    assert shell(machine, "systemctl is-system-running") == "running"
    assert "stopping" not in machine.console_text()


def test_an_idle_worker_powers_itself_off_and_a_rebooted_one_goes_on(
    worker_root: Path, tmp_path: Path
) -> None:
    with booted(worker_root, tmp_path / "first") as machine:
        write(machine, conf(idle=10))
        machine.wait_powered_off(240)
    said = "HTCondor exited after IdleTimeout; the pool never showed the worker: port 9618 of 127.0.0.1"
    assert f"osg-worker: stopping: {said} cannot be reached: Connection refused" in machine.console_text()

    # The same machine again, as after a reset: its configuration is there before systemd is.
    with booted(worker_root, tmp_path / "second") as machine:
        wait_for_startd(machine)
        assert "waiting for" not in machine.console_text()
        machine.run(["systemctl", "--no-block", "poweroff"])
        machine.wait_powered_off(120)
    assert "idle for long enough" not in machine.console_text()
