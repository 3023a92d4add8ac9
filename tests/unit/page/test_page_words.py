"""The page speaks of its fields: no message has an option of the command or a key of the worker's file."""

from __future__ import annotations

import ast
import json
import re
import time
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakery.page import answers, fields, modules
from bakery.tokens import signing
from bakery.userdata import keys, rendering
from tests.unit.page.test_page_modules import FORM, OTHER_TOKEN, PROMINENCE, SCOPES, TOKEN

KEYS = {key.key for kind in rendering.KINDS for key in rendering.worker_keys(kind)} - {"Token"}
FOREIGN = re.compile(rf"--[a-z]|\bStart\b|ClassAd|--help|\b({'|'.join(KEYS)})\b")
# Of the command, for people who have it, and of the clouds' clients.
OF_THE_COMMAND = (
    "gen-userdata --gzip on a Linux machine",
    "--user-data",
    "--custom-data",
    "--metadata-from-file",
)
# Options for which the page has no field, in messages that no value of its form gives.
_OPTIONS = {option.flag[2:] for kind in rendering.KINDS for option in keys.options(kind)}
WITHOUT_FIELD = re.compile(rf"--(gzip|base64|include|allow|set|{'|'.join(_OPTIONS)})(?![\w-])")


def token(**changes: object) -> str:
    usual = {
        "issuer": "flock.opensciencegrid.org",
        "subject": "w@cloud",
        "scopes": SCOPES,
        "lifetime": 10**7,
    }
    return signing.mint(bytes(64), "POOL", **{**usual, **changes})  # type: ignore[arg-type]  # of one dict


TOKENS = (
    *(TOKEN, TOKEN, TOKEN, OTHER_TOKEN, "", "aaabbb...", "a b", "x", f"{TOKEN}'", f"{TOKEN}\n{TOKEN}"),
    *(token(lifetime=1, now=10**9), token(lifetime=3600), token(issuer="cm.example.edu")),
    *(
        token(scopes=("READ",)),
        token(scopes=("ADMINISTRATOR", *SCOPES)),
        token(scopes=()),
    ),
)
# Wrong and unusual values of each field; the good one comes first, and most often.
VALUES: Mapping[str, tuple[str, ...]] = {
    "token": TOKENS,
    # TG-XXX is one that people forget to replace: an error is wanted.
    "projects": ("TG-ABC123", "TG-ABC123", "", "abc123456", "TG-XXX", "a!", "TG\u2013A", "TG-A\u200b"),
    "owners": ("", "", "ann", "a!", TOKEN),
    "expression": (
        *("", "", "", "TARGET.RequestCpus > 2", "true", "1 +", "A B", "A = 1", "((1)", "TARGET.Owner + 1"),
        *(
            "TARGET.RequestCpu > 2",
            "false",
            "TARGET.ProjectName == TG-A",
            "time() > 5",
            "A // b",
            "\\",
            "is",
        ),
        *("nosuch(1)", "'", TOKEN, "a\tb", " x ", "TARGET.OSG_VERSION == 1", "(" * 9000, "1K < 2", ""),
    ),
    "jobs": ("named", "named", "anyone"),
    "group_name": ("", "My Workers", "\u202ex", "a\u2028", " a", "$$(X)", TOKEN),
    "pool": ("", "", "other", "ospool-itb", "path-facility"),
    "pool_host": ("cm.example.edu", "", "osppool", "ospool,cm", "a b", "x:0", "cm\u200b.edu", TOKEN),
    "trust_domain": ("", "", "cm.example.edu", "a b", "a\u200b"),
    "idle_minutes": ("", "", "0", "x", "-1", "9" * 9, " "),
    "join_minutes": ("", "", "0", "x", "0.001"),
    "max_hours": ("", "", "0", "4000", "1e3", "99999"),
    "gpu_jobs_only": ("", "yes", "no"),
    "region": ("r", "", "a\tb", '"', TOKEN),
    "node_group": ("g", "", "\\", "\u202e"),
    "schedd_name": ("", "s", "$(DOLLAR"),
    "job_id": ("", "1", "a b", '"'),
    "prominence_cloud": ("c", "", "ec2", "\x07"),
    "worker": ("osg", "osg", "prominence"),
    "place": ("exosphere", "ec2", "azure"),
    "format": ("script", "cloud-config", "mime", "conf"),
}


def shown(form: Mapping[str, str]) -> Iterator[str]:
    """Yield the messages of the page for these values."""
    answer = json.loads(
        answers.answer(json.dumps({"ask": "generate", "now": time.time(), "form": {**FORM, **form}}))
    )
    assert "failed" not in answer
    for row in (*answer["problems"], *answer.get("findings", ())):
        yield row["text"]


def without(text: str, words: tuple[str, ...]) -> str:
    for word in words:
        text = text.replace(word, "")
    return text


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()}))
def test_no_message_about_any_values_has_words_of_the_command(form: Mapping[str, str]) -> None:
    for text in shown(form):
        assert not FOREIGN.search(without(text, OF_THE_COMMAND)), text


@pytest.mark.parametrize("name", VALUES)
def test_no_message_about_one_value_has_words_of_the_command(name: str) -> None:
    for kind in (
        {},
        {**PROMINENCE, "pool_host": "cm.example.edu"},
        {"pool": "other", "pool_host": "x.edu"},
    ):
        for value in VALUES[name]:
            for text in shown({**kind, name: value}):
                assert not FOREIGN.search(without(text, OF_THE_COMMAND)), text


def test_every_option_that_the_modules_of_the_page_mention_has_words_of_the_page() -> None:
    """Also in messages that no test gives."""
    for path in modules.closure("bakery.userdata.request"):
        for sentence in texts(ast.parse(path.read_text("utf-8"))):
            text = WITHOUT_FIELD.sub("", without(fields.worded(sentence), OF_THE_COMMAND))
            assert not re.search(r"(?<![\w-])--[a-z]", text), text


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield the texts of a module but its docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pool": "other", "pool_host": "ospool,x"}, "Choose the pool ospool alone"),
        ({"expression": "A B"}, "“Condition” is not a valid HTCondor expression: A B"),
        ({"expression": 'TARGET.Start == "--pool" B'}, 'expression: TARGET.Start == "--pool" B'),
        ({"expression": "Start --pool ("}, "has an unclosed (: Start --pool ("),  # as it was typed
        ({"group_name": "a\u2028"}, "“Name of the group” has the character U+2028 LINE SEPARATOR"),
        ({"token": "a b"}, "The token has a space at position 2"),
        ({"worker": "prominence", **PROMINENCE, "region": "a\tb"}, "“Region” has a tab"),
    ],
)
def test_the_words_of_the_page(change: dict[str, str], text: str) -> None:
    assert text in "\n".join(shown(change))


def test_a_prominence_worker_may_restrict_gpus_to_jobs_that_request_one() -> None:
    form = {**PROMINENCE, "pool_host": "cm.example.edu", "gpu_jobs_only": "no"}
    question = {"ask": "generate", "now": time.time(), "form": {**FORM, **form}}
    answer = json.loads(answers.answer(json.dumps(question)))
    assert "PROMINENCE_GPU_JOBS_ONLY=no\n" in answer["text"], answer["problems"]
