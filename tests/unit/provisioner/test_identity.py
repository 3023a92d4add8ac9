"""The names that an image has for itself: in os-release, on the console, and in what workers advertise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bakery.image import bases, recipe
from provisioner.actions import Put, Run
from provisioner.errors import BadInput
from provisioner.plan import Plan
from provisioner.remote import inventory
from provisioner.roles import identity
from provisioner.roles.customization import NO_CUSTOMIZATION, Customization, SiteFile
from provisioner.roles.identity import Identity

OWN = Customization(name="site-worker", version="1.2")


def planned(base: str = "debian13", own: Customization = NO_CUSTOMIZATION, *, boots: bool = True) -> Plan:
    return recipe.plan(bases.find(base), "osg", customization=own, boots=boots)


def stamped(plan: Plan) -> tuple[list[str], dict[str, str]]:
    """The arguments for os-release, and image.json."""
    [run, put] = plan.steps[-1].actions
    assert isinstance(run, Run) and isinstance(put, Put)
    return list(run.argv[-2:]), json.loads(put.data)


def test_without_a_definition_the_values_are_those_of_the_name_of_the_image() -> None:
    plan = planned()
    values, advertised = stamped(plan)
    assert values == ["osg-debian13", plan.id[:12]]
    assert "-".join(values) == plan.image == advertised["image"]
    assert [advertised["image_id"], advertised["image_version"]] == values


def test_a_definition_gives_both_or_one() -> None:
    assert stamped(planned(own=OWN))[0] == ["site-worker", "1.2"]
    unversioned = planned(own=replace(OWN, version=""))
    assert stamped(unversioned)[0] == ["site-worker", unversioned.id[:12]]


def test_only_permitted_characters() -> None:
    """The base of a user's file has a name with capital letters."""
    plan = replace(planned(), base="My-Image_2")
    assert recipe.identity_of(plan) == Identity("osg-my-image_2", plan.id[:12])


@pytest.mark.parametrize("own", [replace(OWN, name="a\nb"), replace(OWN, version="1 2")])
def test_a_customization_cannot_have_others(own: Customization) -> None:
    with pytest.raises(BadInput, match=r"is not a valid (name|version) of an image"):
        planned(own=own)


def test_neither_the_plan_nor_a_checkpoint_depends_on_the_stamp() -> None:
    plan = planned()
    other = replace(plan, steps=(*plan.steps[:-1], replace(plan.steps[-1], id="0" * 64)))
    assert other.id == plan.id == plan.steps[-2].id
    assert plan.steps[-1].role == "seal"


@pytest.mark.parametrize("base", ["debian13", "almalinux9", "almalinux8", "ubuntu22.04"])
def test_the_line_is_where_agetty_reads_it(base: str) -> None:
    [put] = issues(planned(base))
    assert (put.path, put.data.decode()) == (identity.ISSUE, f"{identity.LINE}\n\n")


def test_on_el7_the_site_may_have_written_the_file_to_which_the_line_is_appended() -> None:
    own = Customization(files=(SiteFile("/etc/issue", b"Authorized use only.\n"),))
    plan = planned("centos7", own)
    [put] = issues(plan)
    assert put.data == b"Authorized use only.\n"
    appended = [step.role for step in plan.steps if Run(("sh", "-ec", identity.APPEND)) in step.actions]
    assert appended == ["seal"]
    assert "/etc/issue" in inventory.save(plan.steps)


def test_a_container_has_no_login_but_a_name() -> None:
    plan = planned(boots=False)
    assert issues(plan) == []
    assert stamped(plan)[0] == ["osg-debian13", plan.id[:12]]


def issues(plan: Plan) -> list[Put]:
    puts = [action for step in plan.steps for action in step.actions if isinstance(action, Put)]
    return [put for put in puts if "issue" in put.path]
