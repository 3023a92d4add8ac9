"""Characters that nobody sees are named, with what to do: by gen-userdata, by --check and by the page."""

from __future__ import annotations

import json
import time
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.page import answers
from bakery.userdata import characters, findings, rendering, request
from bakery.userdata.lint import conf as lint
from bakery.userdata.lint import wrapping
from bakery.userdata.lint.context import Context
from bakery.userdata.request import Delivery, Policy, Request
from provisioner.errors import BadInput
from tests.unit.page.test_page_modules import FORM, TOKEN

NOW = time.time()
WANTED = Request(token=TOKEN, projects=("TG-ABC123",))
UNSEEN = st.characters(categories=("Cf", "Zs"), exclude_characters=" ")
BROKEN = st.characters(categories=("Cc", "Zl", "Zp"))


def found_in(wanted: Request) -> list[findings.Finding]:
    found = request.generate(wanted, Delivery(), Policy(now=NOW)).findings
    return [one for one in found if one.id in characters.NAMES]


def asked(group_name: str) -> dict[str, list[dict[str, str]]]:
    question = {"ask": "generate", "now": NOW, "form": {**FORM, "group_name": group_name}}
    answer: dict[str, list[dict[str, str]]] = json.loads(answers.answer(json.dumps(question)))
    return answer


@given(st.text("ab ", max_size=4), UNSEEN, st.text("ab ", max_size=4))
def test_a_character_that_nobody_sees_is_a_warning_that_names_it(before: str, one: str, after: str) -> None:
    group = f"x{before}{one}{after}x"
    [finding] = found_in(replace(WANTED, group_name=group))
    assert finding.severity == "warning"
    assert f"U+{ord(one):04X} {unicodedata.name(one, '')}".rstrip() in finding.message
    assert f"at position {len(before) + 2}." in finding.message
    [row] = asked(group)["findings"]
    assert (row["field"], row["severity"]) == ("group_name", "warning")
    assert row["text"].partition(" has ")[2] == str(finding).partition(" has ")[2]
    text = rendering.conf_text(rendering.WorkerConf(token=TOKEN, start="True", group_name=group))
    [checked] = [one for one in lint.check(text, Context(now=NOW), "osg") if one.id in characters.NAMES]
    assert str(checked).endswith(str(finding))


@given(BROKEN)
def test_a_character_that_no_line_can_have_is_refused_by_its_name(one: str) -> None:
    with pytest.raises(BadInput) as refused:
        request.generate(replace(WANTED, group_name=f"x{one}x"), Delivery(), Policy(now=NOW))
    known = ("a line break", "a carriage return", "a tab")
    assert f"U+{ord(one):04X}" in str(refused.value) or any(word in str(refused.value) for word in known)
    assert "Remove it" in str(refused.value)
    [row] = asked(f"x{one}x")["problems"]
    assert (row["field"], row["severity"]) == ("group_name", "error")
    assert row["text"].partition(" has ")[2] == str(refused.value).partition(" has ")[2]


@given(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=characters._BLANK)))
def test_what_can_be_seen_is_left_alone(text: str) -> None:
    assert characters.hidden(text) == []


@pytest.mark.parametrize(
    "text", ["Bob\u2019s workers", "漢字 🐿", "👩\u200d💻 ann", "\u0645\u06cc\u200c\u062e\u0648", "e\u0301"]
)
def test_writing_of_every_script_is_left_alone(text: str) -> None:
    assert found_in(replace(WANTED, group_name=text)) == []


def test_many_are_counted_and_each_value_has_its_own() -> None:
    settings = {"TokenFile": "/etc/to\u200bken"}
    wanted = Request(
        conditions=('TARGET.Owner == "a\u00adb"',), group_name="\u202e\u200b\u2060\u200b", settings=settings
    )
    found = found_in(wanted)
    assert [one.message.partition(" ")[0] for one in found] == ["WorkerGroupName", "TokenFile", "Start"]
    assert "U+2060 WORD JOINER at position 3 and 1 more." in found[0].message
    assert found[0].fix.startswith("Remove them") and found[1].fix.startswith("Remove it")


def test_a_key_of_cloud_config_with_such_a_character_is_explained() -> None:
    data = "#cloud-config\n\u200bpackages: [x]\n".encode()
    [finding] = [one for one in wrapping.check(data, Context(now=NOW)) if one.id == "unknown-key"]
    assert finding.fix == "Remove U+200B ZERO WIDTH SPACE at position 1."


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"projects": "TG-ABC\u200b123"}, "Remove U+200B ZERO WIDTH SPACE at position 7."),
        (
            {"pool": "other", "pool_host": "cm.example\u2060.edu"},
            "Remove U+2060 WORD JOINER at position 11.",
        ),
        (
            {"expression": "TARGET.RequestCpus\u00a0> 1"},
            "the character U+00A0 NO-BREAK SPACE outside of quotes",
        ),
        ({"token": "eyJ\u200b"}, "U+200B ZERO WIDTH SPACE at position 4"),
        ({"idle_minutes": "2\u200b0"}, "U+200B ZERO WIDTH SPACE"),
        ({"pool": "other", "pool_host": "ospool\u200b"}, "U+200B ZERO WIDTH SPACE"),
        (
            {"pool": "other", "pool_host": "cm.edu", "trust_domain": "cm\u200b.edu"},
            "U+200B ZERO WIDTH SPACE",
        ),
    ],
)
def test_it_is_named_where_it_cannot_be_used(change: dict[str, str], named: str) -> None:
    question = {"ask": "generate", "now": NOW, "form": {**FORM, **change}}
    answer = json.loads(answers.answer(json.dumps(question)))
    assert named in answer["command"], answer
    assert named in (answer["problems"] or answer["findings"])[0]["text"]
