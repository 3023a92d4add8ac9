"""The search finds a job for every Start that a job fulfils, confirmed by HTCondor's library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import classad2  # type: ignore[import-untyped]  # the wheel has no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.userdata.matchmaking import fitting, matching, samples
from bakery.userdata.matchmaking.fitting import Search
from bakery.userdata.matchmaking.matching import Pair
from bakery.userdata.matchmaking.suggestions import Variable

PROJECT = Variable("job", "projectname", "ProjectName")


def accepts(text: str, pair: Pair) -> bool:
    """Evaluate with new ads, not with those of the search."""
    ads = [classad2.ClassAd(_plain({**samples.WORKER, **pair.worker})), classad2.ClassAd()]
    ads[1].update(_plain({**samples.JOB, **pair.job}))
    parsed: Any = matching.parse(text)
    found = parsed.eval(*ads)
    return isinstance(found, bool | int | float) and bool(found)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: classad2.ExprTree(one.text) if isinstance(one, samples.Expression) else one
        for name, one in values.items()
        if one is not None
    }


def match_of(text: str) -> Pair:
    pair = fitting.first(Search(text))
    assert pair is not None, text
    assert accepts(text, pair)
    return pair


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("True", {}),
        ('TARGET.ProjectName == "TG-ABC123"', {"ProjectName": "TG-ABC123"}),
        ('stringListMember("MySite", TARGET.DESIRED_Sites)', {"DESIRED_Sites": "MySite"}),
        ("TARGET.JobPrio > 0 && TARGET.WantFlocking", {"JobPrio": 1, "WantFlocking": True}),
        ("TARGET.JobPrio > 0 && TARGET.JobPrio > 8", {"JobPrio": 9}),
        ("TARGET.Wish > 5 && TARGET.Wish < 6", {"Wish": 5.5}),
        ("TARGET.RequestMemory * 3 == 21", {"RequestMemory": 7}),
        ("TARGET.RequestMemory / TARGET.RequestCpus > 4000", {"RequestMemory": 4001}),
        ('regexp("^TG-", ProjectName) && regexp("7$", ProjectName)', {"ProjectName": "TG-7"}),
        ('regexp("^TG-[A-Z]{3}[0-9]{6}$", ProjectName)', {"ProjectName": "TG-AAA000000"}),
        ('!(ProjectName == "TG-SAMPLE") && size(ProjectName) == 3', {"ProjectName": "xxx"}),
        ('TARGET.Owner == "o" && (TARGET.Wish ?: 5) > 7', {"Owner": "o", "Wish": 8}),
        ('member("a", TARGET.Wishes)', {"Wishes": ["a"]}),
        ("TARGET.JobPrio > 2.5 && TARGET.JobPrio < 3.5", {"JobPrio": 3}),
        ("TARGET.Wish == 0.1 + 0.2", {"Wish": 0.1 + 0.2}),
        ('TARGET.User == strcat(TARGET.Owner, "@osg")', {"User": "somebody@osg"}),
        ('regexp("^a\\\\.b$", TARGET.Wish)', {"Wish": "a.b"}),
        (
            " && ".join(f'stringListMember("s{n}", TARGET.DESIRED_Sites)' for n in range(6))
            + " && "
            + " && ".join(f'!stringListMember("t{n}", TARGET.DESIRED_Sites)' for n in range(6)),
            {"DESIRED_Sites": "s0,s1,s2,s3,s4,s5"},
        ),
        ('member(TARGET.Owner, {"ann", "bob"})', {"Owner": "ann"}),
        ("!TARGET.WantGlidein", {"WantGlidein": False}),
        ('(TARGET.Owner == "a" || TARGET.JobPrio > 3) =?= true', {"Owner": "a"}),
        ('TARGET.WantDocker ? false : TARGET.Owner == "a"', {"WantDocker": False, "Owner": "a"}),
        ("ifThenElse(isUndefined(TARGET.RequestGPUs), JobPrio == 3, false)", {"JobPrio": 3}),
    ],
)
def test_a_matching_job_is_found(text: str, job: dict[str, Any]) -> None:
    assert match_of(text) == Pair(job=job)


def test_any_value_of_a_required_attribute_is_found() -> None:
    pair = match_of("TARGET.SingularityImage isnt undefined && TARGET.RequestCpus > 3")
    assert pair.job["RequestCpus"] == 4 and pair.job["SingularityImage"]


@pytest.mark.parametrize(
    ("text", "worker"),
    [
        ("NODE_IS_HEALTHY", {}),
        ("Memory > 1000", {}),
        ("TotalCpus > 16", {"TotalCpus": 17}),
        ("GPUs > 0 && TARGET.RequestGPUs > 0", {"GPUs": 1}),
        ("gpus > 1 && gpus > 2", {"GPUs": 3}),
        ("HasSingularity && SingularityVersion isnt undefined", {"HasSingularity": True}),
    ],
)
def test_a_name_without_scope_is_the_workers_if_its_ad_has_it(text: str, worker: dict[str, Any]) -> None:
    assert match_of(text).worker.items() >= worker.items()
    assert not match_of("NODE_IS_HEALTHY && TotalCpus > 16").job


@pytest.mark.parametrize(
    "text",
    [
        "False",
        'TARGET.ProjectName == "a" && TARGET.ProjectName == "b"',
        "TARGET.JobPrio > 5 && TARGET.JobPrio < 6",
        "!NODE_IS_HEALTHY",
        'MY.OpSys == "WINDOWS"',
        'TARGET.Owner =?= undefined && TARGET.Owner == "a"',
        'isUndefined(TARGET.ProjectName) && TARGET.ProjectName == "x"',
        'regexp(".", ProjectName) && !regexp(".", ProjectName)',
    ],
)
def test_no_job_is_found_if_there_is_none(text: str) -> None:
    assert fitting.first(Search(text)) is None


def test_fixed_attributes_are_not_changed() -> None:
    text = 'TARGET.ProjectName == "a" || TARGET.JobPrio == 7'
    pair = fitting.first(Search(text, {PROJECT: "b"}))
    assert pair == Pair(job={"ProjectName": "b", "JobPrio": 7})
    assert fitting.first(Search('TARGET.ProjectName == "a"', {PROJECT: "b"})) is None


def test_a_matching_attribute_is_not_changed() -> None:
    text = '(TARGET.ProjectName == "TG-A" || TARGET.Owner == "bob") && TARGET.RequestMemory > 9000'
    owner = Variable("job", "owner", "Owner")
    pair = fitting.first(Search(text, {owner: "bob"}))
    assert pair == Pair(job={"Owner": "bob", "RequestMemory": 9001})


def test_long_expressions() -> None:
    either = " || ".join(f'(Owner == "u{n}" && JobPrio > {n})' for n in range(300))
    both = " && ".join(f"(A{n} == 1 || B{n} == 2)" for n in range(40))
    members = ",".join(f"u{n}" for n in range(500))
    for text in (either, both, f'stringListMember(Owner, "{members}") && {both}', "!" * 30 + "True"):
        match_of(text)
    for text in ("!" * 200 + "True", "(" * 60 + "True" + ")" * 60):
        assert fitting.first(Search(text)) in (Pair(), None)


NAMES = {
    "ProjectName": st.text("TGab-1", min_size=1, max_size=6),
    "Owner": st.text("abz_", min_size=1, max_size=4),
    "Wish": st.text("abz", min_size=1, max_size=4),
    "JobPrio": st.integers(-20, 20),
    "RequestMemory": st.integers(1, 100_000),
    "Count": st.integers(-5, 5),
    "WantFlocking": st.booleans(),
    "Flag": st.booleans(),
    "DESIRED_Sites": st.lists(st.sampled_from(["S1", "S2", "S3"]), min_size=1, unique=True).map(",".join),
}


@dataclass(frozen=True)
class Known:
    """A condition and its value for the job that it was generated for; never UNDEFINED."""

    text: str
    holds: bool


@st.composite
def conditions(draw: st.DrawFn, job: Mapping[str, Any]) -> Known:
    """Draw a condition that is true for the job, or its negation."""
    name = draw(st.sampled_from(sorted(NAMES)))
    written = draw(st.sampled_from(["TARGET." + name, "target." + name.lower(), name]))
    text = draw(_holding(name, written, job.get(name)))
    return Known(f"!({text})", False) if draw(st.booleans()) else Known(text, True)


def _holding(name: str, written: str, value: Any) -> st.SearchStrategy[str]:
    if value is None:
        return st.sampled_from(
            [f"{written} =?= undefined", f"isUndefined({written})", f'{written} =!= "q"']
        )
    if isinstance(value, bool):
        yes = [written, f"{written} == true", f"{written} =?= true"]
        return st.sampled_from(
            yes if value else [f"!{written}", f"{written} == false", f"{written} =!= true"]
        )
    if isinstance(value, int):
        return st.integers(1, 30).flatmap(lambda more: st.sampled_from(_of_number(written, value, more)))
    if name == "DESIRED_Sites":
        return st.sampled_from(_of_list(written, value.split(",")))
    return st.integers(0, len(value)).flatmap(lambda cut: st.sampled_from(_of_text(written, value, cut)))


def _of_number(written: str, value: int, more: int) -> list[str]:
    return [
        f"{written} == {value}", f"{written} >= {value}", f"{written} <= {value}",
        f"{written} != {value + more}", f"{written} > {value - more}", f"{written} < {value + more}",
        f"{written} =?= {value}", f"{written} + {more} == {value + more}",
        f"{written} * {more} >= {value * more}",
    ]  # fmt: skip


def _of_list(written: str, members: list[str]) -> list[str]:
    missing = [one for one in ("S1", "S2", "S3") if one not in members]
    return [f'stringListMember("{one}", {written})' for one in members] + [
        f'!stringListMember("{one}", {written})' for one in missing
    ]


def _of_text(written: str, value: str, cut: int) -> list[str]:
    return [
        f'{written} == "{value}"', f'{written} =?= "{value}"', f'{written} != "{value}q"',
        f'stringListMember({written}, "q,{value}")', f'member({written}, {{"q", "{value}"}})',
        f"{written} isnt undefined", f'regexp("^{value[:cut]}", {written})',
        f'regexp("{value[cut:]}$", {written})', f'regexp("{value[cut:cut + 2]}", {written})',
        f'!regexp("q", {written})', f'strcat({written}, "") == "{value}"',
    ]  # fmt: skip


@st.composite
def starts(draw: st.DrawFn) -> tuple[Mapping[str, Any], str]:
    """Draw a job and a Start that accepts it."""
    names = draw(st.lists(st.sampled_from(sorted(NAMES)), unique=True))
    # Every job has these attributes.
    job = {name: draw(NAMES[name]) for name in {*names, "Owner", "JobPrio", "RequestMemory"}}
    return job, draw(_true(job, 3)).text


def _true(job: Mapping[str, Any], depth: int) -> st.SearchStrategy[Known]:
    return _known(job, depth).map(lambda one: one if one.holds else Known(f"!({one.text})", True))


def _known(job: Mapping[str, Any], depth: int) -> st.SearchStrategy[Known]:
    if not depth:
        return conditions(job)
    below = st.lists(_known(job, depth - 1), min_size=1, max_size=4)
    return st.one_of(
        conditions(job),
        below.map(lambda all_of: Known(_join(" && ", all_of), all(one.holds for one in all_of))),
        below.map(lambda any_of: Known(_join(" || ", any_of), any(one.holds for one in any_of))),
    )


def _join(operator: str, parts: list[Known]) -> str:
    return operator.join(f"({one.text})" for one in parts)


@given(starts())
def test_a_job_is_found_for_every_start_that_a_job_fulfils(made: tuple[Mapping[str, Any], str]) -> None:
    job, text = made
    assert accepts(text, Pair(job=job)), "the generated Start does not accept the job"
    pair = fitting.first(Search(text))
    assert pair is not None
    assert accepts(text, pair)
