"""The evaluation without HTCondor's library: what it decides, the library decides in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bakery.userdata import start
from bakery.userdata.matchmaking import evaluation, matching, samples
from bakery.userdata.matchmaking.matching import Pair
from provisioner.errors import BadInput

JOB = {"ProjectName": "TG-ABC123", "RequestGPUs": 1, "Wish": True, "MaxWallTimeMins": 1.5}
_NAMES = ("TARGET.ProjectName", "TARGET.Owner", "MY.Memory", "Cpus", "TARGET.RequestCpus", "TARGET.Nothing",
          "RequestGPUs", "wish", "MaxWallTimeMins", "TARGET.Requirements", "MY.START", "Memory", "Rank",
          "IsOwner", "CurrentTime", "TARGET.RequestMemory", "ChildCpus")  # fmt: skip
_LITERALS = ("1", "0", "2.5", "7", "true", "FALSE", "undefined", "error", '"TG-ABC123"', '"tg-abc123"',
             '"a,b"', '""', '"somebody"', '"a\\"b"', "010", "1K", '"x\\ny"', "9223372036854775807", "{1}",
             "1e2", '"ä"', "[a = 1]", "0x1F", '"a, b"')  # fmt: skip
_SIGNS = (
    "&&",
    "||",
    "==",
    "!=",
    "=?=",
    "=!=",
    "<",
    "<=",
    ">",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "is",
    "|",
    "?:",
)
_CALLS = ("isUndefined", "isError", "toLower", "toUpper", "stringListMember", "regexp", "ifThenElse",
          "size", "stringListIMember", "int", "nothing")  # fmt: skip

_atoms = st.sampled_from(_NAMES + _LITERALS)


def _more(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(_SIGNS), inner).map(" ".join),
        st.tuples(st.sampled_from("!-+"), inner).map("".join),
        inner.map("({})".format),
        st.tuples(inner, inner, inner).map(lambda one: f"{one[0]} ? {one[1]} : {one[2]}"),
        st.tuples(st.sampled_from(_CALLS), st.lists(inner, min_size=1, max_size=3)).map(
            lambda one: f"{one[0]}({', '.join(one[1])})"
        ),
    )


EXPRESSIONS = st.recursive(_atoms, _more, max_leaves=6)
# Words in any order: mostly no expressions.
SALAD = st.lists(
    st.sampled_from((*_NAMES, *_LITERALS, *_SIGNS, "(", ")", ",", "?", ":", "!", ".")), max_size=6
)


def _theirs(text: str) -> Any:
    try:
        return matching.value(matching.parse(text), Pair(job=JOB))
    except BadInput:
        return "refused"


def _ours(text: str) -> Any:
    try:
        parsed = evaluation.parsed(text)
        return evaluation.value(parsed, samples.WORKER, {**samples.JOB, **JOB})
    except evaluation.Invalid:
        return "refused"


def _same(ours: Any, theirs: Any) -> bool:
    return type(ours) is type(theirs) and (ours == theirs or (ours != ours and theirs != theirs))


@given(EXPRESSIONS)
@example('TARGET.ProjectName == "TG-ABC123" || TARGET.Owner == "somebody"')
@example("MY.START")
@settings(max_examples=400, deadline=None)
def test_the_library_agrees(text: str) -> None:
    try:
        ours = _ours(text)
    except evaluation.Unsupported:
        return
    assert _same(ours, _theirs(text)), (text, ours, _theirs(text))


@given(SALAD.map(" ".join))
@example("TARGET.A TARGET.B")
@example("&& true")
@settings(max_examples=400, deadline=None)
def test_what_is_refused_is_refused_by_the_library(text: str) -> None:
    if text.strip():
        try:
            evaluation.parsed(text)
            valid = True
        except evaluation.Invalid:
            valid = False
        except evaluation.Unsupported:
            return
        assert valid == (_theirs(text) != "refused"), text


@pytest.mark.parametrize(
    "text",
    [
        'TARGET.ProjectName == "TG-ABC123"',
        '(TARGET.ProjectName == "TG-A" || TARGET.Owner == "ann") && (TARGET.RequestCpus >= 4)',
        'regexp("^TG-", TARGET.ProjectName)',
        'stringListMember(TARGET.Owner, "ann,bob")',
        "TARGET.RequestMemory <= MY.Memory / 2",
        "isUndefined(TARGET.RequestGPUs)",
        'TARGET.ProjectName =?= "TG-A" ? true : false',
        "TARGET.RequestDisk < 10 * 1024 * 1024",
        'TARGET.Owner != "bob"',
    ],
)
def test_what_people_write_is_decided(text: str) -> None:
    assert evaluation.value(evaluation.parsed(text), samples.WORKER, samples.JOB) in (
        True,
        False,
        evaluation.Value.UNDEFINED,
    )


@pytest.mark.parametrize("text", ["{1,2}", "[a = 1].a", "time() > 1", "strcat(1, 2)", "((" * 50 + "1"])
def test_what_is_not_supported_is_neither_true_nor_refused(text: str) -> None:
    text = text + "))" * 50 if text.startswith("((") else text
    with pytest.raises(evaluation.Unsupported):
        evaluation.parsed(text)


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(matching, "has_library", lambda: False)
    _forget()
    yield
    _forget()


def _forget() -> None:
    for cached in (matching.parse, matching.parsed_part, start._fitting):
        cached.cache_clear()


@pytest.mark.usefixtures("without_library")
def test_findings_without_the_library() -> None:
    def names(text: str) -> list[str]:
        return [one.id for one in start.findings(text, conditions=[text])]

    assert names("time() > 5") == ["unchecked-start"]
    assert names("true") == ["accepts-everyone"]
    assert names("false") == ["accepts-nobody"]
    assert names('TARGET.ProjectName == "TG-ABC123"') == []
    assert names('TARGET.ProjectNam == "TG-ABC123"') == ["unknown-attribute"]
    with pytest.raises(BadInput, match="not a valid ClassAd expression"):
        names("TARGET.A B")
    assert [one.answer for one in start.match_samples('TARGET.ProjectName == "TG-A"', ["TG-A"])] == [
        "yes",
        "no",
        "undefined",
    ]
    assert start.match_samples("time() > 5", ["TG-A"]) == ()
