"""Findings about a Start, evaluated by HTCondor's ClassAd library."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bakery.userdata import start
from provisioner.errors import BadInput


def names(text: str) -> list[str]:
    return [one.id for one in start.findings(text, conditions=(text,))]


def answers(text: str, *projects: str) -> list[str]:
    return [match.answer for match in start.match_samples(text, projects)]


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_start_is_rejected(text: str) -> None:
    with pytest.raises(BadInput, match="an empty Start accepts the jobs of all users"):
        start.parse(text)


@pytest.mark.parametrize(
    "text",
    ["A) || (B", "True; Foo=1", "A == 1 ]", "a b", "A == 'b", 'ProjectName = "x"', "A == \u201cx\u201d"],
)
def test_an_invalid_expression_is_rejected(text: str) -> None:
    with pytest.raises(BadInput, match="not a valid ClassAd expression"):
        start.parse(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('TARGET.ProjectName =?= "TG-A"', []),
        ('TARGET.ProjectName == "TG-ABC123"', []),  # OSG's example, and what --project makes
        ('regexp("^TG-", ProjectName)', []),
        ('TARGET.ProjectName == "TG-A" || TARGET.Owner == "alice"', []),
        ('stringListMember("MySite", TARGET.DESIRED_Sites)', []),
        ("TARGET.SingularityImage isnt undefined && TARGET.RequestCpus > 3", []),
        ("TARGET.JobPrio > 0 && TARGET.WantFlocking", []),
        ('TARGET.DESIRED_Sites isnt undefined && regexp("MySite", TARGET.DESIRED_Sites)', []),
        ('NODE_IS_HEALTHY && TARGET.Owner == "alice"', []),
        ('TotalCpus > 16 && Memory > 64000 && TARGET.Owner == "alice"', []),
        ("GPUs > 0 && TARGET.RequestGPUs > 0", []),
        ('WorkerGroupName == "mine" && Owner == "alice"', []),
        ('TARGET.Owner == "alice"', []),
        ('stringListMember(TARGET.Owner, "alice,bob")', []),
        ('TARGET.Owner == "alice" && TARGET.RequestMemory > 100000', []),
        ('TARGET.Owner == "alice" && MY.Memory > 1000', []),
        ("True", ["accepts-everyone"]),
        ("1", ["accepts-everyone"]),
        ("TARGET.RequestMemory < 8000", ["accepts-everyone"]),
        ("TotalCpus > 16", ["accepts-everyone"]),
        ("NODE_IS_HEALTHY", ["accepts-everyone"]),
        ("False", ["accepts-nobody"]),
        ("!NODE_IS_HEALTHY", ["accepts-nobody"]),
        ('MY.OpSys == "WINDOWS" && TARGET.Owner == "alice"', ["accepts-nobody"]),
        ("TARGET.JobPrio > 5 && TARGET.JobPrio < 6", ["accepts-nobody"]),
        ('TARGET.ProjectName == "a" && TARGET.ProjectName == "b"', ["accepts-nobody"]),
        ("nosuch(1)", ["failing-start"]),
        ('TARGET.Owner == "alice" && 1/0', ["failing-start"]),
        ('"text"', ["failing-start"]),
        ("TARGET.ProjectName == 5", ["failing-start"]),
        ('member("MySite", TARGET.DESIRED_Sites)', ["failing-start"]),  # it is no list
        ('TARGET.ProjectNam == "x"', ["unknown-attribute"]),
        ('TARGET.Projectname =?= "x"', []),
        ("ProjectName == TG-ABC123", ["unknown-attribute", "accepts-nobody"]),
        ("ProjectName == 'TG-1'", ["unknown-attribute", "accepts-nobody"]),
        ("TARGET.Memory > 3", ["unknown-attribute"]),
        ('MY.ProjectName == "x"', ["unknown-attribute"]),
        ('TARGET.MyOwnFlag =?= "x"', ["unknown-attribute"]),
    ],
)
def test_the_names_of_the_findings(text: str, found: list[str]) -> None:
    assert names(text) == found
    assert set(found) <= set(start.NAMES)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('TARGET.ProjectNam == "x"', "Did you mean ProjectName?"),
        ('TARGET.Ownr == "x"', "Did you mean Owner?"),
        ("TARGET.Memory > 3", "Did you mean MY.Memory?"),
        ('MY.ProjectName == "x"', "Did you mean TARGET.ProjectName?"),
        ("ProjectName == TG-ABC123", 'Write "TG-ABC123" in double quotes.'),
        ("ProjectName == 'TG-1'", "Use double quotes for a string"),
        ("TARGET.Zzyzx =?= 1", "unless the submit file sets it"),
    ],
)
def test_the_fix_suggests_the_intended_text(text: str, hint: str) -> None:
    assert hint in start.findings(text)[0].fix


@pytest.mark.parametrize(
    ("text", "case"),
    [
        ('TARGET.ProjectName != "TG-A"', "A job without ProjectName is not accepted: "),
        ('!(TARGET.ProjectName == "TG-A")', "A job without ProjectName is not accepted: "),
        ('!regexp("^TG-", ProjectName)', "A job without ProjectName is not accepted: "),
        ("!TARGET.WantFlocking", "A job without WantFlocking is not accepted: "),
        (
            'TARGET.Owner == "bob" || TARGET.ProjectName != "TG-A"',
            "A job without ProjectName is not accepted: ",
        ),
        ('TARGET.Owner =?= "bob" || !TARGET.WantGlidein', "A job without WantGlidein is not accepted: "),
        (
            'TARGET.JobPrio > 4 && TARGET.ProjectName != "TG-A"',
            "A job without ProjectName and with JobPrio 5 is not accepted: ",
        ),
        ('TARGET.ProjectName =!= "TG-A"', "A job without ProjectName is also accepted: "),
        ('!(TARGET.ProjectName =?= "TG-A")', "A job without ProjectName is also accepted: "),
        (
            'TARGET.Owner == "bob" && TARGET.ProjectName =!= "TG-A"',
            'A job without ProjectName and with Owner "bob" is also accepted: ',
        ),
    ],
)
def test_a_missing_attribute_is_reported_with_an_example(text: str, case: str) -> None:
    (found,) = [one for one in start.findings(text, conditions=(text,)) if one.id == "undefined-start"]
    assert found.message.startswith(case)


@pytest.mark.parametrize(
    "text",
    [
        'TARGET.ProjectName =!= undefined && TARGET.ProjectName != "TG-A" && Owner == "bob"',
        '(TARGET.ProjectName =?= undefined || TARGET.ProjectName != "TG-A") && Owner == "bob"',
        '(isUndefined(TARGET.ProjectName) || TARGET.ProjectName =!= "TG-A") && Owner == "bob"',
        '!(TARGET.WantFlocking =?= true) && Owner == "bob"',
        'TARGET.WantFlocking =!= true && Owner == "bob"',
        '!!(TARGET.ProjectName == "TG-A")',
        '!(TARGET.ProjectName != "TG-A")',
        '!(TARGET.Owner == "bob") && TARGET.ProjectName == "TG-A"',  # every job has an owner
        'TARGET.ProjectName == "TG-A" && TARGET.ProjectName != "TG-B"',  # the first part refuses it anyway
    ],
)
def test_a_missing_attribute_that_is_handled_is_not_reported(text: str) -> None:
    assert names(text) == []


def test_a_search_without_a_result_lists_the_values_tried() -> None:
    text = 'TARGET.ProjectName == "a" && TARGET.ProjectName == "b"'
    (found,) = start.findings(text, conditions=(text,))
    assert found.message == (
        "No job that the Start accepts was found. "
        'Tried: ProjectName undefined, "TG-SAMPLE", "a", "b" and 3 more.'
    )
    assert found.fix == "A job was found for each part alone: check whether one job can fulfil all parts."
    text = "TARGET.JobPrio > 5 && !NODE_IS_HEALTHY"
    (found,) = start.findings(text, conditions=(text,))
    assert found.fix == "No job was found for this part alone either: !NODE_IS_HEALTHY."
    (found,) = start.findings("False")
    assert found.message == "The Start accepts no job: it does not depend on the job, and is not true."


def test_the_part_that_is_an_error_is_named() -> None:
    (found,) = start.findings('TARGET.Owner == "alice" && nosuch(TARGET.JobPrio)')
    assert "a part of it evaluates to ERROR: nosuch(TARGET.JobPrio)." in found.message


def test_a_start_that_htcondor_cannot_evaluate() -> None:
    owners = [f'TARGET.Owner == "u{n}"' for n in range(1000)]
    assert names(" || ".join(owners[:300])) == []
    (found,) = start.findings(" || ".join(owners))
    assert (found.id, found.severity) == ("failing-start", "warning")
    assert "nested too deeply" in found.message


def test_the_title_of_a_generated_job_has_its_attributes() -> None:
    (first, *others) = start.match_samples("TARGET.RequestMemory > 9000 && Memory > 64000")
    assert first.title == "a generated job with RequestMemory 9001, on a worker with Memory 64001"
    assert [first.answer, *(one.answer for one in others)] == ["yes", "no", "no"]
    text = '(TARGET.ProjectName == "TG-A" || TARGET.Owner == "bob") && (TARGET.JobPrio > 3)'
    titles = [match.title for match in start.match_samples(text, ["TG-A"], ["bob"])]
    assert titles[:2] == ["a job of project TG-A with JobPrio 4", "a job of owner bob with JobPrio 4"]
    assert [match.answer for match in start.match_samples("TotalCpus > 16")] == ["yes", "yes", "yes"]
    both = " && ".join(f"(A{n} != {n} || B{n} != {n})" for n in range(60))
    assert answers(both, "TG-A")[0] == "yes"


def test_all_users_may_be_intended() -> None:
    assert start.findings("True", anyone=True) == []


def test_a_generated_start_has_no_findings() -> None:
    text = 'TARGET.ProjectName == "TG-A" || TARGET.Owner == "alice"'
    assert start.findings(text, projects=("TG-A",)) == []
    narrowed = f"({text}) && (TARGET.RequestMemory > 9000)"
    assert start.findings(narrowed, projects=("TG-A",), conditions=("TARGET.RequestMemory > 9000",)) == []


def test_a_project_without_its_prefix() -> None:
    (one,) = start.findings('TARGET.ProjectName == "abc123456"', projects=("abc123456",))
    assert (one.id, one.fix) == ("unusual-project", "Did you mean --project TG-ABC123456?")


@pytest.mark.parametrize("project", ["TG-NNNNNN", "TG-XXX", "TG-000000"])
def test_a_placeholder_project(project: str) -> None:
    (one,) = start.findings(f'TARGET.ProjectName == "{project}"', projects=(project,))
    assert (one.id, one.fix) == ("unusual-project", "Use your own project.")


def test_two_errors_are_reported_at_once() -> None:
    hints = [one.fix for one in start.findings("TARGET.ProjectNam == TG-ABC123")]
    assert hints[:2] == ['Write "TG-ABC123" in double quotes.', "Did you mean ProjectName?"]


def test_the_sample_jobs() -> None:
    assert answers('TARGET.ProjectName == "TG-A"', "TG-A") == ["yes", "no", "undefined"]
    assert answers('ProjectName == "TG-A"', "TG-A") == ["yes", "no", "undefined"]
    narrowed = '(TARGET.ProjectName == "TG-A") && (TARGET.RequestMemory > 9000)'
    assert answers(narrowed, "TG-A") == ["yes", "no", "no"]
    assert answers('TARGET.Owner != "x"') == ["yes", "yes", "yes"]
    assert answers("nosuch()") == ["error", "error", "error"]


def test_the_samples_are_restored() -> None:
    for _ in range(2):
        assert answers('TARGET.requestmemory > 9000 && TARGET.OWNER == "x"') == ["yes", "no", "no"]
        assert answers("TARGET.RequestMemory == 1024 && MY.memory == 32000") == ["yes", "yes", "yes"]


_WORDS = """
TARGET.ProjectName MY.Memory Owner Wish GPUs Start TARGET MY "a" "a,b" 1 2.5 true undefined error == != =?=
=!= && || ! ( ) ? : ?: < + - * / [ ] { } , ; = . isUndefined( regexp( stringListMember( member( size(
ifThenElse( eval( time() 'x' CurrentTime Requirements
"""
WORDS = st.sampled_from(_WORDS.split())


@given(st.lists(WORDS, min_size=1, max_size=12).map(" ".join))
@example("[ a = 1 ] . a == TARGET.Wish")
@example('eval( "TARGET.Owner" ) == "x"')
@example("Start && ( Requirements || TARGET )")
def test_any_expression_can_be_checked(text: str) -> None:
    try:
        found = start.findings(text, conditions=(text,))
    except BadInput:
        return
    assert {one.id for one in found} <= set(start.NAMES)
    assert len(start.match_samples(text, ["TG-A"], ["bob"])) == 4


@pytest.mark.parametrize("wanted", ['"in-time"', "strcat(1, undefined)"])
def test_a_search_that_exceeds_its_time_limit(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "_SECONDS", 0.0)
    text = f"TARGET.Owner == {wanted}"
    (found,) = start.findings(text, conditions=(text,), ospool=True)
    assert (found.id, found.severity) == ("accepts-nobody", "warning")
    assert "found within the time limit" in found.message


def test_a_slow_function_does_not_block_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = f'regexp("(a+)+$", strcat("{"a" * 36}!", TARGET.Owner, "!"))'
    monkeypatch.setattr(start, "_SECONDS", 0.2)
    before = process_time()
    assert "failing-start" not in names(slow)
    assert process_time() - before < 60  # seconds of CPU; the function alone takes hours
