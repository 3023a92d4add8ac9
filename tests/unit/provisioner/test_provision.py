"""Apply a plan to a remote machine: selected steps, the record of applied steps, retries; ssh parsing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bakery.commands.remote import read_plan
from provisioner.actions import Put, Run
from provisioner.errors import BadInput, CommandFailed, Unreachable
from provisioner.events import Event
from provisioner.plan import Plan, PlannedStep, chained_id
from provisioner.process.line_splitter import LONGEST, LineSplitter
from provisioner.process.scrub import hide
from provisioner.remote import applied_steps, inventory
from provisioner.remote import machine as remote
from provisioner.remote.machine import POLICY_SCRIPT, Options, apply_plan, steps_for
from provisioner.roles.base import POLICY
from provisioner.steps import FetchKey
from provisioner.targets import OnLine, host_keys, ssh
from provisioner.targets.ssh import Address, ConnectionLost

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def make(*roles: tuple[str, Sequence[Run | Put]]) -> Plan:
    steps: list[PlannedStep] = []
    before = "0" * 64
    for role, actions in roles:
        for action in actions:
            before = chained_id(before, (action,))
            steps.append(PlannedStep(role, f"step {len(steps)}", (action,), before))
    return Plan("debian13", "0" * 64, "osg", tuple(steps))


WORK = (Run(("one",)), Put("/etc/two", b"2", 0o600), Run(("three",)))
PLAN = make(("base", [Put(POLICY, b"", 0o755)]), ("condor", WORK), ("seal", [Run(("wipe",))]))


class Machine:
    """A fake machine that stores files. Its connection fails `lost` times; the program `failing` fails."""

    def __init__(self, lost: int = 0, failing: str = "") -> None:
        self.files: dict[str, bytes] = {}
        self.ran: list[str] = []
        self.lost, self.failing = lost, failing

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        if argv[0] == "sh":
            on_line("sudo: unable to resolve host")
            for row in self.files.get(argv[-1], b"").decode().splitlines():
                on_line(f"= {row}")
        elif argv[0] == "rm":
            del self.files[argv[-1]]
        else:
            self.ran.append(argv[0])
            assert POLICY in self.files
            if self.lost:
                self.lost -= 1
                raise ConnectionLost("The connection was lost.")
            if argv[0] == self.failing:
                raise CommandFailed(argv[0], 1, "")

    def put(self, path: str, data: bytes, mode: int) -> None:
        self.files[path] = data


class TextMonitor:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def emit(self, event: Event) -> None:
        self.texts.append(str(event.get("text", "")))


_USUAL = Options()


def apply(machine: Machine, plan: Plan = PLAN, options: Options = _USUAL) -> tuple[int, list[str]]:
    monitor = TextMonitor()
    outcome = apply_plan(plan, machine, monitor, options, sleep=lambda _: None)
    return outcome.before, monitor.texts


def test_fetched_keys_are_saved_like_written_files() -> None:
    key = FetchKey("https://keys.example.org/key", "/etc/apt/keyrings/key.asc", "A" * 40)
    fetched = PlannedStep("condor", key.title, key.actions(), "0" * 64)
    assert inventory.save([fetched, *PLAN.steps])[-3:] == ("/etc/apt/keyrings/key.asc", POLICY, "/etc/two")


def test_the_seal_and_the_service_policy_are_not_steps_for_a_remote_machine() -> None:
    kept, left_out = steps_for(PLAN, seal=False)
    assert [step.role for step in kept] == ["condor"] * 3
    assert left_out == ("seal: step 4",)
    assert [step.role for step in steps_for(PLAN, seal=True)[0]] == ["condor"] * 3 + ["seal"]


def test_applying_a_plan_again_changes_nothing() -> None:
    machine = Machine()
    assert apply(machine)[0] == 0
    files = dict(machine.files)
    assert apply(machine)[0] == 3
    assert (machine.ran, machine.files, POLICY in files) == (["one", "three"], files, False)
    assert apply(machine, options=Options(seal=True))[0] == 3
    assert machine.ran[2:] == ["wipe"]


def test_a_failed_command_is_not_retried_and_the_policy_is_removed() -> None:
    machine = Machine(failing="three")
    with pytest.raises(CommandFailed):
        apply(machine)
    assert (machine.ran, POLICY in machine.files) == (["one", "three"], False)
    machine.failing = ""
    assert apply(machine)[0] == 2
    assert machine.ran == ["one", "three", "three"]


def test_steps_of_another_plan_are_removed_from_the_record_first() -> None:
    machine = Machine()
    apply(machine)
    machine.failing = "other"
    other = make(("base", [Put(POLICY, b"", 0o755)]), ("condor", [WORK[0], Run(("other",))]))
    with pytest.raises(CommandFailed):
        apply(machine, other)
    assert apply(machine)[0] == 1


def test_a_lost_connection_is_restored_with_a_warning() -> None:
    machine = Machine(lost=len(remote.RETRY_DELAYS))
    _, texts = apply(machine)
    assert machine.ran == ["one"] * (len(remote.RETRY_DELAYS) + 1) + ["three"]
    assert sum("then repeating the step" in text for text in texts) == len(remote.RETRY_DELAYS)


def test_retries_are_limited() -> None:
    machine = Machine(lost=100)
    with pytest.raises(Unreachable, match="7 tries") as caught:
        apply(machine)
    assert type(caught.value) is Unreachable
    assert machine.ran == ["one"] * 7


def test_the_policy_of_the_machine_is_kept() -> None:
    machine = Machine()
    machine.files[POLICY] = b"theirs\n"
    _, texts = apply(machine)
    assert machine.files[POLICY] == b"theirs\n"
    assert any("its own" in text or "own /usr" in text for text in texts)
    machine.files[POLICY] = POLICY_SCRIPT  # left by a run that was killed
    apply(machine, options=Options(from_scratch=True))
    assert POLICY not in machine.files


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 2, "steps": []}', '{"format": 1}'])
def test_a_damaged_record_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="from-scratch"):
        applied_steps.parse(text)


def test_the_record_can_be_written_and_read() -> None:
    assert applied_steps.parse(applied_steps.text(PLAN.steps).decode()) == tuple(
        step.id for step in PLAN.steps
    )
    assert applied_steps.done(PLAN.steps, ()) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("root@box", Address("root", "box")),
        ("a.b@10.0.0.1:2222", Address("a.b", "10.0.0.1", 2222)),
        ("x@[fe80::1%eth0]:23", Address("x", "fe80::1%eth0", 23)),
        ("x@[::1]", Address("x", "::1")),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    assert ssh.address(text) == expected
    assert ssh.address(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "box", "@box", "a@", "a@b:0", "a@b:65536", "a@b:x", "a b@c", "a@b@c"])
def test_invalid_addresses_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--ssh USER@HOST"):
        ssh.address(text)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_lines_are_split_for_any_chunk_size(size: int) -> None:
    data, seen = "one\r\n\nthr€e\nlast".encode(), list[str]()
    lines = LineSplitter(seen.append)
    for start in range(0, len(data), size):
        lines.feed(data[start : start + size])
    lines.close()
    assert seen == ["one", "", "thr€e", "last"]


def test_a_long_line_is_truncated_without_cutting_a_secret() -> None:
    hide("a secret that is known")
    seen: list[str] = []
    lines = LineSplitter(seen.append)
    lines.feed(b"x" * (LONGEST - 10) + b"a secret that is known" + b"y" * 10**6)
    lines.feed(b"y" * 10**6 + b"\nnext\n")
    assert seen[0].endswith("x[secret]yy …")
    assert seen[1:] == ["next"]


def test_host_key_files_are_parsed() -> None:
    name = "[box]:2222"
    for text in (f"{KEY} comment\n", f"# a comment\n{name} {KEY}\n@revoked x y\nnonsense\n"):
        assert list(host_keys.parse(text, name).lookup(name) or ()) == ["ssh-ed25519"]
    assert host_keys.parse(f"other {KEY}", name).lookup(name) is None


def test_a_new_host_key_is_appended(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    (key,) = (host_keys.parse(KEY, "new").lookup("new") or {}).values()
    host_keys.add_known_host(file, "new", key)
    assert file.read_text() == f"new {KEY}\n"
    file.write_text("# mine")
    host_keys.add_known_host(file, "new", key)
    assert file.read_text() == f"# mine\nnew {KEY}\n"


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 1, "steps": [1], "base_id": ""}'])
def test_invalid_plans_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan").write_text(text)
    with pytest.raises(BadInput, match="bake-image --dry-run --json"):
        read_plan(str(tmp_path / "plan"))
    with pytest.raises(BadInput, match="Cannot read"):
        read_plan(str(tmp_path / "none"))


def test_a_modified_plan_is_refused(tmp_path: Path) -> None:
    from provisioner.plan import to_json

    data = to_json(PLAN)
    data["steps"][1]["actions"] = [{"run": ["evil"]}]
    (tmp_path / "plan").write_text(json.dumps(data))
    with pytest.raises(BadInput, match="changed by hand"):
        read_plan(str(tmp_path / "plan"))
