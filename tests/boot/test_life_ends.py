"""How a worker's life ends, and why: each machine here is to find by itself that it has to go.

They mostly wait, so several live at the same time, each looked after by a thread.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bakery.machines.machine import ANY_STATUS, Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.tokens import signing
from bakery.userdata.rendering import WorkerConf, render
from bakery.verify.pool.throwaway_pool import ADDRESS, IDENTITY, RUNNING, TRUST_DOMAIN, Pool
from tests.boot import metadata
from tests.boot.life import CONF, conf, machines, started_at, wait_job, wait_joined, wait_refused
from tests.boot.metadata import Announce
from tests.conftest import Folders

Boot = Callable[[str], Machine]
OFF = 300  # seconds, for a slow machine; the deadlines below are 15 to 45
LIFETIME = 1800  # seconds
SHORT = 60  # seconds that a token is valid
UNTIL_TOLD = "#!/bin/sh\nwhile [ ! -e /home/end ]; do sleep 1; done\necho done\n"


@pytest.fixture
def start(network: Network, worker_image: Image, tmp_path: Path) -> Iterator[Boot]:
    """Machines of these names, until the test ends."""
    with machines(worker_image, network, tmp_path) as started:
        yield started


def told(pool: Pool, **more: object) -> str:
    """A worker's file; keys that are not given here have the values that make it work."""
    values = {
        "WorkerGroupName": "Ends", "Token": pool.worker_token(), "Start": 'TARGET.ProjectName == "TG-ENDS"',
        "CentralManager": ADDRESS, **more,
    }  # fmt: skip
    return "".join(f"{key} = {value}\n" for key, value in values.items() if value != "")


def configure(machine: Machine, text: str) -> None:
    machine.wait_booted()
    machine.put(CONF, text.encode(), 0o600)


def status(machine: Machine) -> dict[str, object]:
    said = machine.run(["worker-image", "status", "--json"], expect=ANY_STATUS)
    return dict(json.loads(said.stdout)) if said.status == 0 else {"state": "none"}


def wait_state(machine: Machine, state: str, seconds: float = 240) -> None:
    machine.wait_until(
        f"its state is {state}", lambda: status(machine)["state"], seconds, lambda now: now == state
    )


def wait_configured(machine: Machine) -> None:
    """Of what its file holds now."""
    machine.run(["worker-image", "wait", "--for", "configured", "--timeout", "10m"], seconds=660)


def forged() -> str:
    """As the pool's own, but signed with another key."""
    key = secrets.token_bytes(64)
    return signing.mint(key, "POOL", issuer=TRUST_DOMAIN, subject=IDENTITY, lifetime=3600)


def who_does_not_join_says_why_and_goes(start: Boot, pool: Pool) -> None:
    obstacles = {
        "unknown-name": ({"CentralManager": "no.such.pool.invalid"}, "the name no.such.pool.invalid of the "
                         "pool cannot be resolved"),
        "closed-port": ({"CentralManager": f"{ADDRESS}:1"}, f"port 1 of {ADDRESS} cannot be reached: "
                        "Connection refused"),
        "rejected": ({"Token": forged()}, f"{ADDRESS} rejected the token (issued by {TRUST_DOMAIN})"),
        "expired": ({"Token": pool.worker_token(lifetime=-60)}, "the token expired on "),
    }  # fmt: skip
    machines = {name: start(name) for name in obstacles}
    for name, (change, _) in obstacles.items():
        configure(machines[name], told(pool, JoinTimeout=15, **change))
    for name, (_, said) in obstacles.items():
        machines[name].wait_powered_off(OFF)
        console = machines[name].console_text()
        assert f"osg-worker: joining: {said}" in console
        assert f"stopping: JoinTimeout expired, not in the pool: {said}" in console
        assert "eyJ" not in console


def who_is_never_configured_or_badly_goes(start: Boot, pool: Pool) -> None:
    never, badly = start("never"), start("badly")
    soon = ("/etc/worker-defaults.conf", b"ConfigurationTimeout = 25\n")
    never.wait_booted()
    never.put(*soon)
    configure(badly, told(pool, Start="Owner ==", Colour="red"))
    badly.wait_for_console_text("Start is not a ClassAd")
    wait_state(badly, "waiting")
    badly.put(*soon)
    for machine in (never, badly):
        machine.wait_powered_off(OFF)
        said = "stopping: ConfigurationTimeout expired: there is no valid configuration yet"
        assert said in machine.console_text()
    assert "unknown key, ignored: Colour" in badly.console_text()


def a_wedged_htcondor_is_noticed(start: Boot, pool: Pool) -> None:
    machine = start("wedged")
    configure(machine, told(pool))
    wait_state(machine, "idle")
    configure(machine, told(pool, WatchdogTimeout=30))
    wait_configured(machine)
    machine.run(["systemctl", "kill", "--kill-who=all", "--signal=SIGSTOP", "condor.service"])
    machine.wait_powered_off(OFF)
    said = "stopping: WatchdogTimeout expired: HTCondor does not answer"
    assert said in machine.console_text()


def an_idle_one_that_may_only_stop_stays(start: Boot, pool: Pool) -> None:
    machine = start("staying")
    configure(machine, told(pool, IdleTimeout=15, OnIdle="stop"))
    wait_state(machine, "stopped")
    assert not machine.succeeds("systemctl", "is-active", "condor.service")
    said = machine.run(["setpriv", "--reuid=65534", "--clear-groups", "worker-image", "status"]).stdout
    assert "State:   stopped\nWhy:     HTCondor exited after IdleTimeout\n" in said
    assert said.splitlines()[11].startswith("As of:   ")
    assert len(said.splitlines()) == 12
    waits = ["worker-image", "wait", "--timeout", "2m", "--for"]
    assert machine.run([*waits, "stopped"]).stdout == "stopped: HTCondor exited after IdleTimeout\n"
    vain = machine.run([*waits, "idle"], expect=(1,)).stderr
    assert vain == "not idle and will not be: stopped: HTCondor exited after IdleTimeout\n"
    # Told once more, it goes on.
    machine.put(CONF, told(pool, WorkerGroupName="Again").encode(), 0o600)
    wait_state(machine, "idle")


def nobody_is_cut_off_for_a_while(start: Boot, pool: Pool) -> None:
    machine = start("visited")
    machine.wait_booted()
    machine.run(["useradd", "--create-home", "alice"])
    # With a terminal: without one, it is a background job to systemd, not a login.
    login = ["script", "--quiet", "--command", "su -l alice -c 'sleep 300'", "/dev/null"]
    machine.run(["systemd-run", "--quiet", "--no-block", *login])
    machine.wait_until("alice is logged in", lambda: sessions(machine), 120, lambda said: "alice" in said)
    configure(machine, told(pool, IdleTimeout=15, LoginGrace=20))
    machine.wait_for_console_text("alice is logged in", 240)
    assert not machine.powers_off_within(5)
    machine.wait_powered_off(OFF)
    assert "HTCondor exited after IdleTimeout: powering off" in machine.console_text()


def sessions(machine: Machine) -> str:
    return machine.run(["loginctl", "list-sessions"], expect=ANY_STATUS).stdout


def a_job_longer_than_idle_timeout_ends(start: Boot, pool: Pool) -> None:
    machine = start("busy")
    job = pool.submit("longer-than-idle", "TG-BUSY", UNTIL_TOLD)
    wanted = {"WorkerGroupName": "Busy", "Start": 'TARGET.ProjectName == "TG-BUSY"'}
    configure(machine, told(pool, **wanted))
    wait_state(machine, "running")
    configure(machine, told(pool, IdleTimeout=20, **wanted))
    wait_configured(machine)
    begun = machine_clock(machine)
    machine.wait_until(
        "three times its IdleTimeout is over", lambda: machine_clock(machine) - begun, 300,
        lambda seconds: seconds > 60,
    )  # fmt: skip
    machine.put("/home/end", b"")
    wait_job(machine, pool, job)
    assert pool.job_attributes(job, "NumShadowStarts") == ["1"]
    assert pool.output("longer-than-idle") == "done\n"
    machine.wait_powered_off(OFF)


def nothing_is_taken_that_cannot_end_in_time(start: Boot, pool: Pool) -> None:
    """MaxLifetime: a job that says it takes an hour is not taken; a short one is; then the end."""
    machine = start("short-lived")
    wanted = {"Start": 'TARGET.ProjectName == "TG-SHORT"', "WorkerGroupName": "Short-lived"}
    long = pool.submit("takes-long", "TG-SHORT", "#!/bin/sh\necho long\n", {"+MaxWallTimeMins": "60"})
    quick = pool.submit(
        "takes-a-little", "TG-SHORT", "#!/bin/sh\necho quick\n", {"allowed_job_duration": "20"}
    )
    # Long enough for the slowest machine to boot and join, and too short for an hour's job.
    configure(machine, told(pool, MaxLifetime=LIFETIME, **wanted))
    wait_job(machine, pool, quick)
    wait_refused(machine, pool, long, started_at(pool, quick))
    pool.remove(long)
    # And now as if it had been told so little from its beginning that the end is near.
    machine.wait_until("it says when it ends", lambda: bool(status(machine)["ends"]), 120)
    age = LIFETIME - (int(str(status(machine)["ends"])) - int(time.time()))
    configure(machine, told(pool, MaxLifetime=age + 60, **wanted))
    machine.wait_powered_off(600)
    assert "stopping: MaxLifetime is near and no job runs" in machine.console_text()


def a_token_from_a_program(start: Boot, pool: Pool) -> None:
    machine = start("fetched")
    machine.wait_booted()
    machine.put("/root/secret", pool.worker_token().encode(), 0o600)
    configure(machine, told(pool, Token="", TokenCommand="/usr/bin/cat /root/secret"))
    wait_state(machine, "idle")
    assert "/root/secret" not in json.dumps(status(machine))


def expiry(machine: Machine) -> int:
    """Of the worker's token, seconds since 1970."""
    shown = status(machine).get("token")
    return int(shown["expires"] or 0) if isinstance(shown, dict) else 0


def a_token_is_renewed_while_a_job_runs(start: Boot, pool: Pool) -> None:
    stays_in_the_pool(start, pool, life=SHORT, seconds=SHORT)  # two renewals: each after two thirds


def stays_in_the_pool(start: Boot, pool: Pool, life: int, seconds: int) -> None:
    """For `seconds`, with tokens that are valid for `life` seconds, and with one job running throughout."""
    machine, wanted = start("renewing"), {"WorkerGroupName": "Renewing"}
    job = pool.submit("across-renewals", "TG-RENEW", UNTIL_TOLD)
    machine.wait_booted()
    machine.put("/root/secret", pool.worker_token(lifetime=life).encode(), 0o600)
    command = {"Token": "", "TokenCommand": "/usr/bin/cat /root/secret"}
    configure(machine, told(pool, Start='TARGET.ProjectName == "TG-RENEW"', **command, **wanted))
    wait_state(machine, "running")
    first = expiry(machine)
    begun = machine_clock(machine)
    while machine_clock(machine) - begun < seconds:
        wait_renewed(machine, pool.worker_token(lifetime=life), life)
    machine.wait_until(
        "the pool hears of it with a later token",
        lambda: pool.slot_attributes("Renewing", "LastHeardFrom"), 600,
        lambda heard: bool(heard) and all(int(at) > first for at in heard),
    )  # fmt: skip
    machine.put("/home/end", b"")
    wait_job(machine, pool, job)
    assert pool.job_attributes(job, "NumShadowStarts") == ["1"]
    assert "eyJ" not in machine.console_text()


def machine_clock(machine: Machine) -> int:
    return int(machine.output("date", "+%s"))


def wait_renewed(machine: Machine, token: str, life: int) -> None:
    """TokenCommand prints another token, and the worker takes it when a renewal is due."""
    before = expiry(machine)
    machine.put("/root/secret", token.encode(), 0o600)
    seconds = life + 240
    machine.wait_until("the token is renewed", lambda: expiry(machine), seconds, lambda now: now > before)


def a_token_that_is_not_renewed_ends_the_worker_after_its_job(start: Boot, pool: Pool) -> None:
    machine = start("ending")
    job = pool.submit("beyond-the-token", "TG-TOKEN-ENDS", UNTIL_TOLD)
    wanted = {"WorkerGroupName": "Ending", "Start": 'TARGET.ProjectName == "TG-TOKEN-ENDS"'}
    configure(machine, told(pool, Token=pool.worker_token(lifetime=SHORT), JoinTimeout=20, **wanted))
    machine.wait_for_console_text("warning: the token is valid until", 240)
    wait_state(machine, "running")
    machine.wait_for_console_text("1 claimed; the token expired on", 240)
    machine.put("/home/end", b"")
    wait_job(machine, pool, job)
    assert pool.job_attributes(job, "NumShadowStarts") == ["1"]
    machine.wait_powered_off(OFF)
    said = "stopping: JoinTimeout expired, not in the pool: the token expired on "
    assert said in machine.console_text()


def a_token_from_a_file_that_changes(start: Boot, pool: Pool) -> None:
    machine = start("filed")
    machine.wait_booted()
    machine.put("/root/token", forged().encode(), 0o600)
    configure(machine, told(pool, Token="", TokenFile="/root/token"))
    machine.wait_for_console_text("rejected the token", 240)
    # The file changes, and nothing else: that is noticed.
    machine.put("/root/token", pool.worker_token().encode(), 0o600)
    wait_state(machine, "idle")


Life = Callable[[Boot, Pool], None]
TOGETHER: dict[str, tuple[Life, ...]] = {
    "none-joins": (who_does_not_join_says_why_and_goes,),
    "at-work": (
        a_job_longer_than_idle_timeout_ends,
        nothing_is_taken_that_cannot_end_in_time,
        a_wedged_htcondor_is_noticed,
    ),
    "at-rest": (
        nobody_is_cut_off_for_a_while,
        an_idle_one_that_may_only_stop_stays,
        who_is_never_configured_or_badly_goes,
    ),
    "tokens": (
        a_token_from_a_program,
        a_token_from_a_file_that_changes,
        a_token_is_renewed_while_a_job_runs,
        a_token_that_is_not_renewed_ends_the_worker_after_its_job,
    ),
}


@pytest.mark.parametrize("together", TOGETHER)
def test_lives(together: str, start: Boot, pool: Pool) -> None:
    with ThreadPoolExecutor() as threads:
        lived = {life.__name__: threads.submit(life, start, pool) for life in TOGETHER[together]}
    failed = [f"{name}: {life.exception()!r}" for name, life in lived.items() if life.exception()]
    assert not failed, "\n".join(failed)


@pytest.mark.full
def test_a_worker_stays_for_a_quarter_of_an_hour_with_tokens_of_three_minutes(
    start: Boot, pool: Pool
) -> None:
    stays_in_the_pool(start, pool, life=180, seconds=900)


# A machine that is stopped, or that its cloud takes, lets running jobs end.
GROUP, PROJECT = "Drains", "TG-DRAIN"
TICKS = """#!/bin/sh
trap 'echo told to end; exit 5' TERM
for i in $(seq {seconds}); do sleep 1; done
echo done
"""


def draining(pool: Pool, group: str = GROUP) -> WorkerConf:
    told = conf(pool, group, PROJECT)
    return dataclasses.replace(told, settings={**told.settings, "DrainTimeout": "240"})


@pytest.fixture(scope="module")
def announce(network: Network) -> Iterator[Announce]:
    with metadata.spot(network) as spot:
        yield spot


@pytest.fixture(scope="module")
def machine(
    pool: Pool, network: Network, worker_image: Image, announce: Announce, folders: Folders
) -> Iterator[Machine]:
    needs = Needs(user_data=render(draining(pool), "script"), hostname="drains", network=network)
    with boot(needs, worker_image, folders("drains")) as up:
        wait_joined(up, pool, GROUP)
        up.wait_booted()
        yield up


def begun(machine: Machine, pool: Pool, name: str, seconds: int) -> str:
    """A job that has begun."""
    job = pool.submit(name, PROJECT, TICKS.format(seconds=seconds))
    wait_job(machine, pool, job, ends=(RUNNING,))
    return job


def test_systemctl_stop_lets_the_job_end(machine: Machine, pool: Pool) -> None:
    job = begun(machine, pool, "stopped", 20)
    with ThreadPoolExecutor(1) as threads:
        stopping = threads.submit(machine.run, ["systemctl", "stop", "condor"], seconds=300)
        wait_job(machine, pool, job)
        stopping.result()
    assert pool.output("stopped") == "done\n"
    assert pool.job_attributes(job, "NumShadowStarts") == ["1"]
    machine.run(["systemctl", "start", "condor"], seconds=120)


def test_a_notice_of_the_cloud_ends_the_machine_when_its_job_has_ended(
    machine: Machine, pool: Pool, announce: Announce
) -> None:
    job = begun(machine, pool, "spot", 20)
    announce(300)
    machine.wait_for_console_text("retiring: 1 claimed; spot instance: Amazon announced terminate")
    wait_job(machine, pool, job)
    assert pool.output("spot") == "done\n"
    machine.wait_powered_off(OFF)
    console = machine.console_text()
    assert "stopping: spot instance: Amazon announced terminate: powering off" in console
