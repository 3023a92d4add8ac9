"""The conditions of Requirements that are not true, by HTCondor's library."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.status.why import ads, clauses
from bakery.status.why.clauses import Ads, Clause, failing
from bakery.userdata.matchmaking import matching


def expression(text: str) -> dict[str, Any]:
    return {"expression": text, "source": text, "error": False}


def pair(job: str = "true", slot: str = "true", **more: Any) -> Ads:
    """A job and a slot with these Requirements; names with `slot_` are the slot's."""
    of_slot = {name[5:]: value for name, value in more.items() if name.startswith("slot_")}
    of_job = {name: value for name, value in more.items() if not name.startswith("slot_")}
    return Ads(
        ads.decoded({**of_job, "Requirements": expression(job)}),
        ads.decoded({**of_slot, "Requirements": expression(slot)}),
    )


def texts(found: tuple[Clause, ...]) -> list[str]:
    return [one.text for one in found]


def test_a_conjunction_is_divided_in_whatever_brackets() -> None:
    both = pair(
        '(TARGET.Arch == "X") && ((TARGET.Memory >= 5) && (true && TARGET.Disk > 9))', slot_Memory=4
    )
    found = failing("job", both)
    assert texts(found) == ['TARGET.Arch == "X"', "TARGET.Memory >= 5", "TARGET.Disk > 9"]
    assert [one.outcome for one in found] == ["undefined", "false", "undefined"]
    assert found[1].value("worker", "memory") == "4"
    assert found[1].value("job", "memory") == ""


def test_attributes_that_are_expressions_are_followed() -> None:
    both = pair(
        slot="START && (WithinResourceLimits)",
        RequestCpus=8,
        ProjectName="B",
        slot_Start=expression('(MY.Ok =?= true) && (TARGET.ProjectName == "A")'),
        slot_Ok=True,
        slot_WithinResourceLimits=expression("MY.Cpus > 0 && TARGET.RequestCpus <= MY.Cpus"),
        slot_Cpus=2,
    )
    found = failing("worker", both)
    assert texts(found) == ['TARGET.ProjectName == "A"', "TARGET.RequestCpus <= MY.Cpus"]
    assert found[0].attributes == (clauses.Attribute("job", "ProjectName", '"B"'),)
    assert {one.side for one in found} == {"worker"}


def test_expressions_that_refer_to_each_other() -> None:
    both = pair("A", A=expression("B"), B=expression("A"))
    assert len(failing("job", both)) == 1


@pytest.mark.parametrize(
    ("lasts", "expected"),
    [(None, "time() < MY.Retires"), (10**10, "time() + TARGET.Lasts <= MY.Ends"), (5, None)],
)
def test_the_branch_of_a_choice_that_applies(lasts: int | None, expected: str | None) -> None:
    text = "ifThenElse(isUndefined(TARGET.Lasts), time() < MY.Retires, time() + TARGET.Lasts <= MY.Ends)"
    more: dict[str, Any] = {} if lasts is None else {"Lasts": lasts}
    as_operator = "isUndefined(TARGET.Lasts) ? time() < MY.Retires : (time() + TARGET.Lasts <= MY.Ends)"
    for one in (text, as_operator):
        both = pair(slot=one, slot_Retires=5, slot_Ends=9 * 10**9, **more)
        assert texts(failing("worker", both)) == ([expected] if expected else [])


def test_a_disjunction_is_one_condition() -> None:
    both = pair("(TARGET.A == 1) || (TARGET.B == 2)", slot_A=2)
    assert texts(failing("job", both)) == ["(TARGET.A == 1) || (TARGET.B == 2)"]


def test_names_without_scope_are_those_of_the_own_ad_first() -> None:
    both = pair("Memory >= RequestMemory && Nowhere == 1", RequestMemory=9, slot_Memory=4)
    found = failing("job", both)
    assert found[0].attributes == (
        clauses.Attribute("worker", "Memory", "4"),
        clauses.Attribute("job", "RequestMemory", "9"),
    )
    assert found[1].attributes == (clauses.Attribute("worker", "Nowhere", "undefined"),)


@pytest.mark.parametrize(
    ("requirements", "outcome", "value"),
    [(False, "false", "false"), (None, "undefined", "undefined"), ("x", "error", '"x"'), (0, "false", "0")],
)
def test_requirements_that_are_no_expression(requirements: Any, outcome: str, value: str) -> None:
    job = ads.decoded({} if requirements is None else {"Requirements": requirements})
    [found] = failing("job", Ads(job, ads.decoded({})))
    assert (found.text, found.outcome) == ("Requirements", outcome)
    assert found.value("job", "Requirements") == value


def test_a_requirement_about_gpus_shows_the_expression_that_each_gpu_must_satisfy() -> None:
    both = pair(
        "countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs",
        RequestGPUs=1,
        RequireGPUs=expression("Capability >= 8.0"),
        slot_AvailableGPUs=expression("{ GPUs_a }"),
        slot_GPUs_a=expression("[ Capability = 7.5 ]"),
    )
    [found] = failing("job", both)
    assert found.value("job", "RequireGPUs") == "Capability >= 8.0"
    assert not failing("job", pair(
        "countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs",
        RequestGPUs=1,
        RequireGPUs=expression("Capability >= 8.0"),
        slot_AvailableGPUs=expression("{ GPUs_a }"),
        slot_GPUs_a=expression("[ Capability = 8.9 ]"),
    ))  # fmt: skip


@pytest.mark.parametrize("name", ["other", "SELF", "parent", "root", "toplevel", "CurrentTime", "TARGET"])
def test_no_whole_ad_is_shown(name: str) -> None:
    both = pair("true", f"{name} == 1", Environment="PASSWORD=canary")
    [found] = failing("worker", both)
    assert "canary" not in str(found)


ATOMS = st.sampled_from(
    [
        "true",
        "false",
        "undefined",
        "error",
        "1",
        "0",
        '"x"',
        "TARGET.A == 1",
        "MY.A =?= 1",
        "B",
        "MY.C",
        "nofn(1)",
    ]
)
TEXTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"ifThenElse({t[0]}, {t[1]}, {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"(({t[0]}) ? ({t[1]}) : ({t[2]}))"),
        inner.map(lambda text: f"!({text})"),
    ),
    max_leaves=8,
)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.sampled_from(["x", "y"]))


@given(TEXTS, TEXTS, VALUES, VALUES)
def test_there_is_a_condition_if_and_only_if_requirements_are_not_true(
    text: str, other: str, a: Any, b: Any
) -> None:
    more = {name: value for name, value in (("A", a), ("slot_A", b), ("slot_B", a)) if value is not None}
    both = pair(text, "true", C=expression(other), **more)
    found = failing("job", both)
    assert bool(found) is (both.outcome("job", text) != "true")
    for one in found:
        assert one.outcome != "true"
        assert both.outcome("job", one.text) == one.outcome  # as it is printed


@given(
    st.dictionaries(
        st.sampled_from("ABC"),
        st.one_of(st.text("ab\"\\'\t\n\x1b\u202eé$ "), st.booleans(), st.integers(-9, 9)),
    )
)
def test_ads_are_the_same_after_they_were_data(values: dict[str, Any]) -> None:
    assert ads.encoded(matching.library(), ads.decoded(values)) == values


@pytest.mark.parametrize(
    "text", ['A == "a\\"b\\\\c\\td"', "A =?= { 1, 2 }", "[ x = 1 ].x == B", "A isnt undefined"]
)
def test_expressions_are_the_same_after_they_were_data(text: str) -> None:
    classad = matching.library()
    once = ads.encoded(classad, ads.decoded({"X": expression(text)}))
    again = ads.encoded(classad, ads.decoded(once))
    assert once == again
    assert classad.ExprTree(once["X"]["source"]) == classad.ExprTree(text)


def test_names_to_query() -> None:
    job = {
        "Requirements": expression("TARGET.OpSys == X && MY.y"),
        "X": expression("Deep"),
        "Z": expression("no"),
    }
    found = ads.names_in([job], ["requirements", "Name"])
    assert found == {
        "requirements": "requirements", "name": "Name", "opsys": "OpSys", "x": "X", "y": "y",
        "deep": "Deep",
    }  # fmt: skip


def test_names_are_spelled_as_asked() -> None:
    """The library shares names in a process: after an expression with START an ad may have START, too."""
    classad = matching.library()
    ad = classad.ClassAd("[START = error; Requirements = START && (other > 1); Other = 2]")
    wanted = {"Start", "Requirements", "other"}
    assert ads.encoded(classad, ad, wanted).keys() == wanted
