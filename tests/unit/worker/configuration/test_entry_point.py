"""`worker run`: the decisions that need no container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from worker_runtime.configuration import condor_config
from worker_runtime.container import inputs, preparation, supervision
from worker_runtime.container.cgroup import Share
from worker_runtime.container.supervision import StopRequests
from worker_runtime.jobs import container_runtimes
from worker_runtime.lifecycle import states
from worker_runtime.lifecycle.states import Memory
from worker_runtime.system import user_home
from worker_runtime.user_mode import host, start

from bakery.runtime import data
from tests.unit.worker.conftest import PROMINENCE


@pytest.mark.parametrize(
    ("asked", "now", "step"),
    [
        (StopRequests(1, 100), 100, "stop"),
        (StopRequests(1, 100), 159, "stop"),
        (StopRequests(1, 100), 160, "fast"),
        (StopRequests(2, 100), 101, "fast"),
        (StopRequests(3, 100), 190, "kill"),
    ],
)
def test_who_asks_for_the_end_gets_it_within_a_limit(asked: StopRequests, now: float, step: str) -> None:
    assert supervision.next_step(asked, now, 0) == step


@pytest.mark.parametrize(
    ("asked", "now", "step"),
    [
        (StopRequests(1, 100), 100, "drain"),
        (StopRequests(1, 100), 149, "drain"),
        (StopRequests(1, 100), 150, "stop"),
        (StopRequests(1, 100), 210, "fast"),
        (StopRequests(1, 100), 240, "kill"),
        (StopRequests(2, 100), 101, "fast"),
    ],
)
def test_running_jobs_may_go_on_for_as_long_as_the_user_says(
    asked: StopRequests, now: float, step: str
) -> None:
    assert supervision.next_step(asked, now, 50) == step


def test_only_what_a_container_cannot_is_overridden() -> None:
    given = {"OnIdle": "poweroff", "ExecuteDisk": "yes", "IdleTimeout": "20"}
    assert inputs.with_overrides(given) == {"OnIdle": "exit", "ExecuteDisk": "no", "IdleTimeout": "20"}
    assert inputs.with_overrides({"OnIdle": "none"}) == {"OnIdle": "none"}


def test_without_the_right_to_mount_jobs_share_tmp() -> None:
    assert "MOUNT_UNDER_SCRATCH" not in preparation.config(mounts=True)
    assert preparation.config(mounts=False).endswith("\nMOUNT_UNDER_SCRATCH =\n")
    assert "SEC_TOKEN_SYSTEM_DIRECTORY = /run/worker-bakery/tokens.d\n" in preparation.config(mounts=True)


def test_htcondor_is_told_of_the_container_s_size_where_any_other_file_can_say_otherwise() -> None:
    assert preparation.size_config(Share(2, 4096)).splitlines()[1:] == ["NUM_CPUS = 2", "MEMORY = 4096"]
    others = [path.name for path in (data.WORKER / "common/etc/condor/config.d").iterdir()]
    assert preparation.SIZE_NAME < min(others)


@pytest.mark.parametrize(
    ("memory", "fulfilled"),
    [
        (Memory(joined=5, ending=9, reason="HTCondor exited after IdleTimeout"), True),
        (Memory(ending=9, reason="JoinTimeout expired, not in the pool"), False),
        (Memory(joined=5, ending=9, reason="WatchdogTimeout expired: HTCondor does not answer"), False),
    ],
)
def test_a_container_ends_well_if_it_was_of_use(memory: Memory, fulfilled: bool) -> None:
    assert states.succeeded(memory) is fulfilled


def test_the_environment_overrides_the_file_and_problems_say_where_they_are(tmp_path: Path) -> None:
    kind = PROMINENCE._replace(file=str(tmp_path / "worker.conf"))
    said = inputs.load(kind, {}, condor_config.Machine(0, {}))
    assert "PROMINENCE_CLOUD is missing" in said.problems
    Path(kind.file).write_text("PROMINENCE_CLOUD='a b'\n")
    said = inputs.load(kind, {}, condor_config.Machine(0, {}))
    assert f"{kind.file}: PROMINENCE_REGION is missing" in said.problems
    said = inputs.load(kind, {"PROMINENCE_REGION": "x"}, condor_config.Machine(0, {}))
    assert said.values["Cloud"] == "a b"
    assert f"{kind.file} and the variables: PROMINENCE_NODE_GROUP is missing" in said.problems


def test_a_token_in_the_environment_is_warned_of() -> None:
    said = inputs.load(PROMINENCE, {"PROMINENCE_WORKER_TOKEN": "a.b.c"}, condor_config.Machine(0, {}))
    assert any("docker inspect shows" in warning for warning in said.warnings)
    assert not any("a.b.c" in text for text in (*said.warnings, *said.problems))


def test_a_user_s_folder_is_his_own_and_closed(tmp_path: Path) -> None:
    home = tmp_path / "a/b"
    assert start.create_home(str(home)) is None
    assert home.stat().st_mode & 0o777 == 0o700
    link = tmp_path / "link"
    link.symlink_to(home)
    assert start.create_home(str(link)) == "belongs to another user"


def test_a_user_s_folder_is_where_the_batch_system_puts_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    user = os.getuid() or 4711
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert user_home.default() == f"{tmp_path}/worker-bakery-{user}"
    assert user_home.existing() == ""
    Path(user_home.default()).mkdir()
    os.chown(user_home.default(), user, -1)
    assert user_home.existing() == user_home.default()
    os.chown(user_home.default(), 1, -1)
    assert user_home.existing() == ""


def test_a_user_s_htcondor_writes_in_his_folder_only() -> None:
    rows = dict(
        row.split(" =", 1) for row in host.config("/h", "/w", Share(4, 8000), "alice").splitlines() if row[0] != "#"
    )
    for name in ("LOG", "SPOOL", "EXECUTE", "LOCK", "RUN", "SEC_TOKEN_DIRECTORY", "LOCAL_DIR"):
        assert rows[name].startswith(" /h"), name
    assert rows["NUM_CPUS"] == " 4"
    assert rows["MEMORY"] == " 8000"
    assert rows["ALLOW_ADMINISTRATOR"] == " $(ALLOW_ADMINISTRATOR) alice@$(UID_DOMAIN)"


def test_a_batch_system_may_grant_less_memory_than_there_is() -> None:
    granted = [host.limit_memory(Share(4, 8000), said).memory for said in ("", "4000", "16000", "4G")]
    assert granted == [8000, 4000, 8000, 8000]


def test_what_was_tried_is_advertised_and_why_not() -> None:
    assert container_runtimes.format_attributes(None) == "HasUdocker = True\n"
    assert container_runtimes.format_attributes('no "proot"\x1b') == (
        'HasUdocker = False\nUdockerOfflineReason = "no \\"proot\\"?"\n'
    )


def test_capabilities_are_read_from_the_kernel() -> None:
    assert preparation.has_capability(0) is (os.geteuid() == 0)


def test_a_user_s_probes_are_told_both_folders_in_htcondor_s_quotes() -> None:
    said = host.config("/h", "/w", Share(4, 8000), "alice")
    assert "STARTD_CRON_HEALTH_ENV = \"'WORKER_EXECUTE=$(EXECUTE)' 'WORKER_BAKERY_HOME=/h'\"" in said


def test_a_user_s_files_are_where_htcondor_s_own_programs_look() -> None:
    kind = host.user_kind(PROMINENCE)
    found = {key.setting: key.default for key in kind.keys}
    assert found["TokenFile"] == str(Path("~/.condor/tokens.d/token.jwt").expanduser())
    assert kind.file == str(Path("~/.condor/prominence-worker.conf").expanduser())
    assert found["IdleTimeout"] == "0"
    assert kind.user_tokens == str(Path("~/.condor/tokens.d").expanduser())


def test_folders_that_are_open_to_all_are_closed(tmp_path: Path) -> None:
    """Not those in which only the owner of a file may replace it."""
    modes = {"open": 0o777, "sticky": 0o1777, "group": 0o775, "closed": 0o755}
    for name, mode in modes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    preparation.close_folders([*(str(tmp_path / name) for name in modes), str(tmp_path / "absent")])
    found = {name: (tmp_path / name).stat().st_mode & 0o7777 for name in modes}
    assert found == {"open": 0o755, "sticky": 0o1777, "group": 0o755, "closed": 0o755}
