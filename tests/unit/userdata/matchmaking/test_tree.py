"""The tree of a ClassAd expression agrees with HTCondor's library."""

from __future__ import annotations

import classad2  # type: ignore[import-untyped]  # the wheel has no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.userdata.matchmaking import language
from bakery.userdata.matchmaking.language import Node


def bracketed(text: str, node: Node) -> str:
    """Return the expression with every operation of the tree in parentheses."""
    parts = [bracketed(text, part) for part in node.parts]
    if node.kind != "operation":
        return text[node.start : node.end]
    if len(parts) == 1:
        return f"({node.word} {parts[0]})"
    if node.word == "?":
        return f"({parts[0]} ? {parts[1]} : {parts[2]})"
    return f"({f' {node.word} '.join(parts)})"


VALUES = st.sampled_from(
    ["1", "2", "0", "3.5", "true", "false", "undefined", '"a"', '"b"', "(1)", "(2 + 3)"]
)
OPERATORS = st.sampled_from([
    "||", "&&", "|", "^", "&", "==", "!=", "=?=", "=!=", "is", "isnt", "<", "<=", ">", ">=", "<<", ">>",
    ">>>", "+", "-", "*", "/", "%", "?:", "? 2 :",
])  # fmt: skip


@st.composite
def expressions(draw: st.DrawFn) -> str:
    words = [draw(st.sampled_from(["", "!", "-", "~", "!!"])) + draw(VALUES)]
    for _ in range(draw(st.integers(1, 5))):
        operator = draw(OPERATORS)
        # HTCondor takes no sign behind ?: but in parentheses.
        sign = "" if operator == "?:" else draw(st.sampled_from(["", "!", "-"]))
        words += [operator, sign + draw(VALUES)]
    return " ".join(words)


@given(expressions())
def test_precedences_are_those_of_htcondor(text: str) -> None:
    node = language.tree(text)
    assert node.kind != "other"
    again = bracketed(text, node)
    assert repr(classad2.ExprTree(again).eval()) == repr(classad2.ExprTree(text).eval()), again


@given(st.text("ab1.\"'\\ ()[]{}!?:&|=<>+-*/,;TARGET\n"))
def test_any_text_can_be_parsed(text: str) -> None:
    assert language.tree(text).end <= len(text)
    language.references(text)
    language.functions(text)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("TARGET.Owner == my . Memory", ["TARGET.Owner", "MY.Memory"]),
        ("Owner == 'TG-1' && OWNER isnt undefined", ["Owner", "'TG-1'", "OWNER"]),
        ("regexp(\"TARGET.X\", TARGET.'Y') // Z", ["TARGET.Y"]),
        ("[a = 1; b = a].b + {C, D}[E] + f.g", ["C", "D", "E", "f"]),
        ("TARGET", ["TARGET"]),
        ("true && False || UNDEFINED is error", []),
    ],
)
def test_references(text: str, named: list[str]) -> None:
    assert [str(one) for one in language.references(text)] == named


@pytest.mark.parametrize(
    ("text", "scoped"),
    [
        ("TARGET.A == 1 && MY.B{}", True),
        ("TARGET.A == B", False),
        ("[a = 1].a == TARGET.B", False),
        ("TARGET.A[0] == {1}[0]", True),
    ],
)
def test_scoped_expressions(text: str, scoped: bool) -> None:
    assert language.is_scoped(text) == scoped


@pytest.mark.parametrize(
    "text",
    [
        "1" + " + 1" * 3000,
        "a" + ".a" * 3000,
        "a" + "[0]" * 3000,
        "(" * 3000 + "1" + ")" * 3000,
        "!" * 3000 + "a",
    ],
)
def test_a_tree_that_is_too_deep_is_one_node(text: str) -> None:
    assert language.tree(text).kind == "other"
    assert not language.tree(text).parts
    assert len(language.tree(" || ".join(["a == 1"] * 3000)).parts) == 3000
