"""Whose jobs a Start takes, asked of HTCondor's own ClassAd library."""

from __future__ import annotations

import pytest

from bakery.launch import start
from provisioner.errors import BadInput


def names(text: str) -> list[str]:
    return [one.id for one in start.findings(text, conditions=(text,))]


def answers(text: str, *projects: str) -> list[str]:
    return [match.answer for match in start.dry_match(text, projects)]


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_one_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="an empty Start takes everybody's jobs"):
        start.parsed(text)


@pytest.mark.parametrize(
    "text",
    ["A) || (B", "True; Foo=1", "A == 1 ]", "a b", "A == 'b", 'ProjectName = "x"', "A == \u201cx\u201d"],
)
def test_what_does_not_parse_whole_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no expression to HTCondor"):
        start.parsed(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('TARGET.ProjectName =?= "TG-A"', []),
        ('TARGET.ProjectName == "TG-A"', ["undefined-start"]),
        ('TARGET.ProjectName != "TG-A"', ["undefined-start"]),
        ('regexp("^TG-", ProjectName)', ["undefined-start"]),
        ('TARGET.Owner == "alice"', []),
        ('stringListMember(TARGET.Owner, "alice,bob")', []),
        ('TARGET.Owner == "alice" && TARGET.RequestMemory > 100000', []),
        ('TARGET.Owner == "alice" && MY.Memory > 1000', []),
        ("True", ["accepts-everyone"]),
        ("1", ["accepts-everyone"]),
        ("TARGET.RequestMemory < 8000", ["accepts-everyone"]),
        ("False", ["accepts-nobody"]),
        ('TARGET.ProjectName == "a" && TARGET.ProjectName == "b"', ["accepts-nobody"]),
        ("nosuch(1)", ["failing-start"]),
        ('TARGET.Owner == "alice" && 1/0', ["failing-start"]),
        ('"text"', ["failing-start"]),
        ('TARGET.ProjectNam == "x"', ["unknown-attribute"]),
        ('TARGET.Projectname =?= "x"', []),
        ("ProjectName == TG-ABC123", ["unknown-attribute", "accepts-nobody"]),
        ("ProjectName == 'TG-1'", ["unknown-attribute", "accepts-nobody"]),
        ("TARGET.Memory > 3", ["unknown-attribute"]),
        ('MY.ProjectName == "x"', ["unknown-attribute"]),
        ('TARGET.MyOwnFlag =?= "x"', ["unknown-attribute"]),
    ],
)
def test_what_is_odd_has_its_name(text: str, found: list[str]) -> None:
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
        ("ProjectName == 'TG-1'", "Text stands in double quotes"),
        ("TARGET.Zzyzx =?= 1", "only if the jobs' submitters set it"),
    ],
)
def test_the_hint_says_what_was_meant(text: str, hint: str) -> None:
    assert hint in start.findings(text)[0].fix


def test_anyone_may_be_meant() -> None:
    assert start.findings("True", anyone=True) == []


def test_a_generated_start_is_not_odd() -> None:
    text = 'TARGET.ProjectName == "TG-A" || TARGET.Owner == "alice"'
    assert start.findings(text, projects=("TG-A",)) == []
    narrowed = f"({text}) && (TARGET.RequestMemory > 9000)"
    assert start.findings(narrowed, projects=("TG-A",), conditions=("TARGET.RequestMemory > 9000",)) == []


def test_a_project_without_its_prefix() -> None:
    (one,) = start.findings('TARGET.ProjectName == "abc123456"', projects=("abc123456",))
    assert (one.id, one.fix) == ("unusual-project", "Perhaps you mean --project TG-ABC123456.")


@pytest.mark.parametrize("project", ["TG-NNNNNN", "TG-XXX", "TG-000000"])
def test_the_project_of_an_example(project: str) -> None:
    (one,) = start.findings(f'TARGET.ProjectName == "{project}"', projects=(project,))
    assert (one.id, one.fix) == ("unusual-project", "Put your own in its place.")


def test_two_mistakes_are_told_at_once() -> None:
    hints = [one.fix for one in start.findings("TARGET.ProjectNam == TG-ABC123")]
    assert hints[:2] == ['Write "TG-ABC123" in double quotes.', "Did you mean ProjectName?"]


def test_the_dry_match() -> None:
    assert answers('TARGET.ProjectName == "TG-A"', "TG-A") == ["yes", "no", "undefined"]
    assert answers('ProjectName == "TG-A"', "TG-A") == ["yes", "no", "undefined"]
    narrowed = '(TARGET.ProjectName == "TG-A") && (TARGET.RequestMemory > 9000)'
    assert answers(narrowed, "TG-A") == ["yes", "no", "no"]
    assert answers('TARGET.Owner != "x"') == ["yes", "yes", "yes"]
    assert answers("nosuch()") == ["error", "error", "error"]


def test_one_sample_leaves_nothing_for_the_next() -> None:
    for _ in range(2):
        assert answers('TARGET.requestmemory > 9000 && TARGET.OWNER == "x"') == ["yes", "no", "no"]
        assert answers("TARGET.RequestMemory == 1024 && MY.memory == 32000") == ["yes", "yes", "yes"]
