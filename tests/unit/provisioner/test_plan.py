from __future__ import annotations

import json

import pytest

from provisioner import plan as plans
from provisioner.actions import Put, Run
from provisioner.apply import apply
from provisioner.errors import BadInput
from provisioner.events import Silent
from provisioner.plan import Plan, PlannedStep, chained_id
from provisioner.steps import File, Packages, Service, Step, lower
from provisioner.targets.recorder import Recorder

BASE_ID = "0" * 64


def make(*steps: Step, base_id: str = BASE_ID) -> Plan:
    planned, before = [], base_id
    for number, (title, actions) in enumerate(lower(steps)):
        before = chained_id(before, actions)
        planned.append(PlannedStep("first" if number < 2 else "second", title, actions, before))
    return Plan("debian13", base_id, "osg", tuple(planned))


def ids(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


STEPS = (
    Packages("apt", frozenset({"condor", "python3"})),
    File("/etc/a", b"one"),
    Service("condor.service", "disable"),
)


def test_equal_steps_have_equal_ids() -> None:
    assert make(*STEPS).id == make(*STEPS).id


def test_the_order_of_package_names_does_not_change_the_id() -> None:
    again = Packages("apt", frozenset(["python3", "condor"]))
    assert make(again, *STEPS[1:]).id == make(*STEPS).id


def test_a_changed_file_changes_its_id_and_all_later_ones() -> None:
    before, after = ids(make(*STEPS)), ids(make(STEPS[0], File("/etc/a", b"two"), STEPS[2]))
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert before[2] != after[2]


def test_the_mode_of_a_file_is_part_of_the_id() -> None:
    assert make(File("/etc/a", b"one", 0o600)).id != make(File("/etc/a", b"one", 0o644)).id


def test_another_base_changes_every_id() -> None:
    assert not set(ids(make(*STEPS))) & set(ids(make(*STEPS, base_id="1" * 64)))


def test_the_id_of_a_plan_without_steps_is_that_of_its_base() -> None:
    assert make().id == BASE_ID


def test_checkpoints_are_at_the_ends_of_roles() -> None:
    assert make(*STEPS).role_ends() == (2, 3)


def test_a_plan_can_be_written_and_read_as_json() -> None:
    plan = make(*STEPS, File("/etc/bytes", b"\xff\x00", 0o600))
    assert plans.from_json(json.loads(json.dumps(plans.to_json(plan)))) == plan


def test_a_modified_plan_is_refused() -> None:
    data = plans.to_json(make(*STEPS))
    data["steps"][1]["actions"][0]["text"] = "evil"
    with pytest.raises(BadInput, match="changed by hand"):
        plans.from_json(data)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(BadInput, match="format"):
        plans.from_json({"format": 99})


def test_apply_executes_the_actions_in_order() -> None:
    target = Recorder()
    apply(make(*STEPS).steps, target, Silent())
    assert target.actions[1:] == [
        Put("/etc/a", b"one", 0o644),
        Run(("systemctl", "disable", "condor.service")),
    ]
    assert isinstance(target.actions[0], Run)
    assert target.actions[0].argv[-2:] == ("condor", "python3")
