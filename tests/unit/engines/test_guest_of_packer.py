"""Actions on the machine that packer boots, in order, and the input files of packer; with recorders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bakery.engines.chroot.engine import Repositories
from bakery.engines.packer import build_files, disk_layers, guest
from bakery.engines.packer.build_files import Files, Start
from bakery.engines.packer.disk_layers import Disk
from bakery.engines.packer.guest import Task
from bakery.engines.packer.temporary_repositories import TemporaryRepositories
from bakery.image import recipe
from bakery.machines.accelerator import KVM, TCG, Accelerator
from bakery.runtime import data, mirror
from provisioner import installed
from provisioner.actions import Put, Run
from provisioner.checkpoints import Policy
from provisioner.disk.growth import GROW_ROOT
from provisioner.errors import BakeryError, CommandFailed, DiskFull, Unreachable
from provisioner.events import Event, Silent
from provisioner.roles.customization import Customization
from provisioner.targets import OnLine
from provisioner.targets.recorder import Recorder
from provisioner.targets.ssh import ConnectionLost
from tests.conftest import BASE

PLAN = recipe.plan(BASE, "osg", optional=("apptainer",))
MIRROR, MORE = "http://mirror.invalid/debian", "URIs: http://more.invalid/"
REPOSITORIES = Repositories("trixie", mirror.Mirror(MIRROR, "").sources("trixie"), MORE)


@pytest.fixture
def task() -> Task:
    sources = {step.role: REPOSITORIES.of(step.role) for step in PLAN.steps}
    return Task(PLAN, 0, "key", "host.pub", TemporaryRepositories("preferences", sources), True)


def test_a_task_can_be_written_and_read_as_json(task: Task) -> None:
    for each in (task, replace(task, disk=Disk("/bake/qmp", "/bake/disk.qcow2", 4096, "auto"))):
        assert guest.from_json(json.loads(json.dumps(guest.to_json(each)))) == each


def test_each_step_is_applied_with_the_temporary_repositories(task: Task) -> None:
    target = Recorder()
    guest.apply_task(task, target, Silent())
    steps = [action for step in PLAN.steps for action in step.actions]
    done = [_planned(action) for action in target.actions]
    assert [action for action in done if action in steps] == steps
    commands = [a for a in target.actions if isinstance(a, Run) and a.argv[:1] == ("env",)]
    assert all("APT_CONFIG=/run/worker-bakery/apt.conf" in action.argv for action in commands)


def _planned(action: Run | Put) -> Run | Put:
    """The action as in the plan, without the environment for temporary repositories."""
    if isinstance(action, Run) and action.argv[0] == "env" and action.argv[1].startswith("APT_CONFIG="):
        return Run(action.argv[3:])
    return action


def test_temporary_repositories_are_in_memory_and_limited_to_their_roles(task: Task) -> None:
    target = Recorder()
    guest.apply_task(task, target, Silent())
    puts = [action for action in target.actions if isinstance(action, Put)]
    mentions = [put for put in puts if b"mirror.invalid" in put.data]
    assert {put.path for put in mentions} == {"/run/worker-bakery/sources.list.d/bake.sources"}
    assert [MORE.encode() in put.data for put in mentions] == [
        role == "apptainer" for role in dict.fromkeys(step.role for step in PLAN.steps)
    ]
    assert not [run for run in target.actions if isinstance(run, Run) and "mirror.invalid" in str(run.argv)]


def test_boot_files_are_removed_first_and_space_is_trimmed_last(task: Task) -> None:
    target = Recorder()
    guest.apply_task(task, target, Silent())
    texts = [str(action.argv) if isinstance(action, Run) else "" for action in target.actions]
    assert "journalctl --relinquish-var" in texts[0]
    assert "fstrim /" in texts[-1]
    late = next(n for n, text in enumerate(texts) if "/etc/netplan" in text and n)
    traces = next(n for n, text in enumerate(texts) if "ssh_host_" in text)
    assert late < traces


def test_only_the_remaining_steps_are_applied(task: Task) -> None:
    target = Recorder()
    guest.apply_task(replace(task, first=len(PLAN.steps) - 1), target, Silent())
    assert [put.path for put in target.actions if isinstance(put, Put)][-1] == recipe.IMAGE
    assert not [run for run in target.actions if isinstance(run, Run) and "install" in run.argv]


def test_the_root_is_enlarged_before_the_first_step_only(task: Task) -> None:
    plan = recipe.plan(BASE, "osg", customization=Customization(root_size=8 << 30))
    sources = {step.role: "" for step in plan.steps}
    sized = replace(task, plan=plan, repositories=TemporaryRepositories("", sources))
    assert guest.from_json(json.loads(json.dumps(guest.to_json(sized)))) == sized
    for first, expected in ((0, 1), (len(plan.steps) - 1, 0)):
        target = Recorder()
        guest.apply_task(replace(sized, first=first), target, Silent())
        scripts = [action.argv[-1] for action in target.actions if isinstance(action, Run)]
        assert scripts.count(GROW_ROOT) == expected
        if expected:
            assert scripts.index(GROW_ROOT) == 1  # after the files of the boot were removed
    plain = Recorder()
    guest.apply_task(task, plain, Silent())
    assert Run(("sh", "-c", GROW_ROOT)) not in plain.actions


class Installed(Recorder):
    """A machine with one package; as a monitor, it keeps the reports."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[Event] = []

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        super().run(argv, on_line)
        if argv == installed.command().argv:
            on_line("P\tbash\tamd64\t5.2")

    def emit(self, event: Event) -> None:
        if event["event"] == "installed":
            self.reports.append(event)


def test_the_packages_are_reported_after_the_last_step(task: Task) -> None:
    target = Installed()
    guest.apply_task(task, target, target)
    last = len(PLAN.steps)
    assert target.reports == [{"event": "installed", "steps": last, "rows": ["P\tbash\tamd64\t5.2"]}]


def test_a_resumed_bake_reads_the_package_lists_before_its_first_step(task: Task) -> None:
    for first in (0, 5):
        target = Recorder()
        guest.apply_task(replace(task, first=first), target, Silent())
        texts = [str(action.argv) if isinstance(action, Run) else "" for action in target.actions]
        assert len([text for text in texts if "'refresh', 'resumed'" in text]) == (1 if first else 0)


# --- snapshots ---------------------------------------------------------------------------------


class SnapshotRecorder(Recorder):
    """Records commands on the machine, commands of QEMU and checkpoint events in one list."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        super().run(argv, on_line)
        self.seen.append(" ".join(argv))

    def emit(self, event: Event) -> None:
        if event["event"] == "checkpoint":
            self.seen.append(f"checkpoint {event['steps']} {event['disk']}")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(str(tmp_path / "qmp"), str(tmp_path / "disk.qcow2"), 4096, "all")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> SnapshotRecorder:
    recorder = SnapshotRecorder()

    def create(argv: list[str]) -> None:
        Path(argv[-2]).touch()
        recorder.seen.append(" ".join(argv))

    def snapshot(monitor: Path, drive: str, layer: Path) -> None:
        recorder.seen.append(f"write {drive} {layer}")

    monkeypatch.setattr("bakery.engines.packer.disk_layers.run.call", create)
    monkeypatch.setattr("bakery.engines.packer.disk_layers.qmp.snapshot", snapshot)
    return recorder


def test_a_snapshot_is_taken_at_the_end_of_each_role_except_the_last(
    task: Task, disk: Disk, recorder: SnapshotRecorder
) -> None:
    guest.apply_task(replace(task, disk=disk), recorder, recorder)
    checkpoints = [row.split() for row in recorder.seen if row.startswith("checkpoint")]
    ends = PLAN.role_ends()[:-1]
    below = [disk.first, *(str(disk_layers.overlay_after(Path(disk.first), end)) for end in ends)]
    assert checkpoints == [["checkpoint", str(end), layer] for end, layer in zip(ends, below, strict=False)]
    assert disk_layers.top(Path(disk.first)) == Path(below[-1])


def test_the_file_system_is_frozen_during_the_snapshot(
    task: Task, disk: Disk, recorder: SnapshotRecorder
) -> None:
    guest.apply_task(replace(task, disk=disk), recorder, recorder)
    at = next(n for n, row in enumerate(recorder.seen) if row.startswith("write system"))
    freeze, thaw = recorder.seen[at - 1], recorder.seen[at + 1]
    assert "rm -f" in freeze and freeze.index("rm -f") < freeze.index("sync\nfstrim") < freeze.index(
        "--freeze"
    )
    assert all(name in freeze for name in ("authorized_keys", "ssh_host_*", "50-cloud-init", "machine-id"))
    assert "identity=uninitialized\n" in freeze  # as in the seal
    assert "--unfreeze" in thaw
    assert f"-b {disk.first} " in recorder.seen[at - 2] and "cluster_size=4k" in recorder.seen[at - 2]


def test_the_file_system_is_thawed_if_qemu_refuses_the_snapshot(
    task: Task, disk: Disk, recorder: SnapshotRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BakeryError("QEMU refused it.")

    monkeypatch.setattr("bakery.engines.packer.disk_layers.qmp.snapshot", refuse)
    with pytest.raises(BakeryError, match="refused"):
        guest.apply_task(replace(task, disk=disk), recorder, recorder)
    assert "--unfreeze" in recorder.seen[-2]
    assert recorder.seen[-1] == "sh -c sync"


@pytest.mark.parametrize("policy", ["none", "auto"])
def test_no_snapshot_with_policy_none_or_if_it_does_not_save_time(
    policy: Policy, task: Task, disk: Disk, recorder: SnapshotRecorder
) -> None:
    guest.apply_task(replace(task, disk=replace(disk, policy=policy)), recorder, recorder)
    assert not [row for row in recorder.seen if "freeze" in row or row.startswith("checkpoint")]


class Fails(Recorder):
    """Loses its connection `lost` times at the first installation; for less than -100, that fails."""

    def __init__(self, lost: int) -> None:
        super().__init__()
        self.left = lost
        self.tries = 0

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        if "install" in argv and "apt-get" in argv:
            self.tries += 1
            self.left -= 1
            if self.left >= 0:
                raise ConnectionLost("The connection was lost.")
            if self.left < -100:
                raise CommandFailed("apt-get install", 100, "")
        super().run(argv, on_line)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("bakery.engines.packer.guest.time.sleep", lambda _: None)
    yield


def test_the_step_is_repeated_after_a_lost_connection(task: Task) -> None:
    target = Fails(lost=2)
    guest.apply_task(task, target, Silent())
    assert target.tries > 2


def test_retries_are_limited(task: Task) -> None:
    with pytest.raises(ConnectionLost):
        guest.apply_task(task, Fails(lost=99), Silent())


def test_a_failed_command_is_not_retried(task: Task) -> None:
    target = Fails(lost=-101)
    with pytest.raises(CommandFailed):
        guest.apply_task(task, target, Silent())
    assert target.tries == 1
    assert target.actions[-1] == Run(("sh", "-c", "sync"))  # the disk may be kept for inspection


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (ConnectionLost("The connection was lost."), Unreachable, "7 tries"),
        (Unreachable("A package mirror did not respond.", "the machine's own"), Unreachable, "--mirror"),
        (
            DiskFull("The disk of 127.0.0.1 is full: x", ""),
            DiskFull,
            "The image's disk is full: x",
        ),
        (CommandFailed("dpkg", 1, "tail"), CommandFailed, "tail"),
    ],
)
def test_errors_are_reworded_for_an_image(error: BakeryError, kind: type[BakeryError], says: str) -> None:
    reported = guest.for_image(error)
    assert type(reported) is kind
    assert says in str(reported)


# --- input files of packer ---------------------------------------------------------------------


@pytest.mark.parametrize(("accelerator", "cpu"), [(KVM, "host"), (TCG, "max")])
def test_every_variable_of_the_template_is_set(
    accelerator: Accelerator, cpu: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bakery.engines.packer.build_files.qemu_img.virtual_size", lambda _: 4096)
    variables = build_files._variables(
        Files(tmp_path), Start(tmp_path / "base", 0), tmp_path / "key", accelerator, monitored=False
    )
    template = build_files.TEMPLATE.read_text()
    assert set(variables) == set(re.findall(r'^variable "(\w+)"', template, re.MULTILINE))
    assert (variables["cpu"], variables["disk_size"], variables["qemu"]) == (
        cpu,
        "4096b",
        "qemu-system-x86_64",
    )


def test_the_template_supports_packer_1_6_6_and_listens_on_loopback_only() -> None:
    template = (data.PACKER / "worker.pkr.hcl").read_text()
    code = "\n".join(row.partition("#")[0] for row in template.splitlines())
    assert "required_plugins" not in code
    assert "hostfwd=tcp:127.0.0.1:" in code
    assert not re.search(r"ssh_password|cd_content|efi_boot|cpu_model", code)


def test_the_seed_allows_root_with_the_key_and_creates_no_account(tmp_path: Path) -> None:
    login, host = tmp_path / "login", tmp_path / "host"
    for path in (login, host):
        path.write_text(f"PRIVATE {path.name}\n")
        path.with_suffix(".pub").write_text(f"ssh-ed25519 {path.name}\n")
    files = build_files._seed(login, host)
    user_data = json.loads(files["user-data"].removeprefix(b"#cloud-config\n"))
    assert (user_data["users"], user_data["disable_root"], user_data["ssh_pwauth"]) == ([], False, False)
    assert user_data["cloud_init_modules"] == ["ssh"]
    assert b"PRIVATE login" not in files["user-data"] + files["meta-data"]
    assert json.loads(files["meta-data"])["public-keys"] == ["ssh-ed25519 login"]
