from __future__ import annotations

import json

import pytest

from provisioner import plan as plans
from provisioner.actions import Put, Run
from provisioner.apply import apply
from provisioner.errors import BadInput
from provisioner.events import Silent
from provisioner.plan import Plan, PlannedStep, chained_id
from provisioner.steps import File, Packages, Service, lower
from provisioner.targets.recorder import Recorder

BASE_ID = "0" * 64


def make(*steps: object, base_id: str = BASE_ID) -> Plan:
    planned, before = [], base_id
    for number, (title, actions) in enumerate(lower(steps)):  # type: ignore[arg-type]
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


def test_same_steps_have_the_same_id() -> None:
    assert make(*STEPS).id == make(*STEPS).id


def test_order_of_package_names_does_not_matter() -> None:
    again = Packages("apt", frozenset(["python3", "condor"]))
    assert make(again, *STEPS[1:]).id == make(*STEPS).id


def test_a_changed_file_keeps_the_ids_before_it_and_no_other() -> None:
    before, after = ids(make(*STEPS)), ids(make(STEPS[0], File("/etc/a", b"two"), STEPS[2]))
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert before[2] != after[2]


def test_a_mode_is_part_of_the_id() -> None:
    assert make(File("/etc/a", b"one", 0o600)).id != make(File("/etc/a", b"one", 0o644)).id


def test_another_base_changes_every_id() -> None:
    assert not set(ids(make(*STEPS))) & set(ids(make(*STEPS, base_id="1" * 64)))


def test_a_plan_without_steps_is_its_base() -> None:
    assert make().id == BASE_ID


def test_checkpoints_stand_at_the_ends_of_roles() -> None:
    assert make(*STEPS).role_ends() == (2, 3)


def test_plan_survives_json() -> None:
    plan = make(*STEPS, File("/etc/bytes", b"\xff\x00", 0o600))
    assert plans.from_json(json.loads(json.dumps(plans.to_json(plan)))) == plan


def test_a_plan_changed_by_hand_is_refused() -> None:
    data = plans.to_json(make(*STEPS))
    data["steps"][1]["actions"][0]["text"] = "evil"
    with pytest.raises(BadInput, match="changed by hand"):
        plans.from_json(data)


def test_another_format_is_refused() -> None:
    with pytest.raises(BadInput, match="format"):
        plans.from_json({"format": 99})


def test_apply_does_what_the_actions_say_in_order() -> None:
    target = Recorder()
    apply(make(*STEPS).steps, target, Silent())
    assert target.actions[1:] == [
        Put("/etc/a", b"one", 0o644),
        Run(("systemctl", "disable", "condor.service")),
    ]
    assert isinstance(target.actions[0], Run)
    assert target.actions[0].argv[-2:] == ("condor", "python3")
