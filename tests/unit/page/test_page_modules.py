"""What the page runs in the browser: it is complete, and needs nothing that Pyodide does not have."""

from __future__ import annotations

import ast
import base64
import json
import sys
import time
from html.parser import HTMLParser
from typing import Any

import pytest

from bakery.page import answers, fields, modules
from bakery.page.places import PLACES
from bakery.runtime.data import PAGE
from bakery.tokens import signing
from bakery.userdata.delivery.clouds import CLOUDS

SCOPES = ("ADVERTISE_STARTD", "ADVERTISE_MASTER")
TOKEN = signing.mint(
    bytes(64), "POOL", issuer="flock.opensciencegrid.org", subject="w@cloud", scopes=SCOPES, lifetime=10**7
)
FORM = {
    **dict.fromkeys((*fields.LABELS, "jobs", "image", "pool_host"), ""),
    "worker": "osg",
    "token": TOKEN,
    "projects": "TG-ABC123",
    "jobs": "named",
    "place": "ec2",
    "format": "script",
}
OTHER_TOKEN = signing.mint(bytes(64), "POOL", issuer="x", subject="w@y", scopes=[], lifetime=10)
_CHOSEN = ("worker", "jobs", "place", "format", "pool", "image")
PROMINENCE = {
    "worker": "prominence",
    "pool_host": "x",
    "region": "r",
    "node_group": "g",
    "prominence_cloud": "c",
}
# Which the code imports only where they are installed.
OF_OTHERS = {"yaml", "classad2", "htcondor2"}


def ask(kind: str, **more: Any) -> dict[str, Any]:
    question = {"ask": kind, "now": time.time(), **more}
    answer: dict[str, Any] = json.loads(answers.answer(json.dumps(question)))
    return answer


def test_no_module_needs_what_a_browser_lacks() -> None:
    ours = {"bakery", "provisioner", "worker_runtime"}
    for path in modules.closure(modules.ENTRY):
        for name in modules._imports(path):
            first = name.split(".")[0]
            assert first in ours | OF_OTHERS | sys.stdlib_module_names, f"{path}: {name}"


def test_the_archive_is_always_the_same() -> None:
    archive = modules.archive()
    assert archive == modules.archive()
    assert len(archive) < 400_000


def test_every_file_of_the_archive_can_be_parsed() -> None:
    for name, data in modules.files().items():
        if name.endswith(".py"):
            ast.parse(data)


class Ids(HTMLParser):
    """The ids of the elements, the labels by the field they are for, and what describes each element."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labels: dict[str, str] = {}
        self.described: dict[str, list[str]] = {}
        self.attributes: list[tuple[str, str | None]] = []
        self._label = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.attributes += attrs
        if "id" in given:
            self.ids.append(given["id"])
            self.described[given["id"]] = given.get("aria-describedby", "").split()
        self._label = given.get("for", "") if tag == "label" else ""

    def handle_data(self, data: str) -> None:
        if self._label and data.strip():
            self.labels.setdefault(self._label, data.strip())


@pytest.fixture(scope="module")
def page() -> Ids:
    found = Ids()
    found.feed((PAGE / "index.html").read_text("utf-8"))
    return found


def test_the_form_has_every_field_with_its_label(page: Ids) -> None:
    own = {name: label for name, label in fields.LABELS.items() if name != "anyone"}
    assert {name: page.labels[name].replace("\u2019", "'") for name in own} == own
    assert all(f"{name}-notes" in page.ids for name in fields.LABELS)
    assert len(page.ids) == len(set(page.ids))
    for described in page.described.values():
        assert set(described) <= set(page.ids)


def test_the_page_has_no_script_or_style_in_its_markup(page: Ids) -> None:
    names = {name for name, _ in page.attributes}
    assert "style" not in names and not {name for name in names if name.startswith("on")}
    text = (PAGE / "page.js").read_text("utf-8")
    assert not {
        word
        for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(")
        if word in text
    }


def test_the_places_have_limits() -> None:
    assert {place.cloud for place in PLACES.values()} <= set(CLOUDS)


# --- answers -------------------------------------------------------------------------------------


def test_an_answer_has_all_that_is_shown() -> None:
    found = ask("generate", form=FORM)
    assert found["problems"] == [] and found["findings"] == []
    assert f"Token = {TOKEN}\n" in found["text"] and TOKEN not in found["hidden"]
    assert "16,384 bytes that EC2" in found["size"]
    assert found["condor_status"].startswith("condor_status -pool")
    assert ["Pool", "The OSPool (flock.opensciencegrid.org)"] in found["token"]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"token": ""}, ["token"]),
        ({"projects": ""}, ["projects"]),
        ({"pool": "other"}, ["pool"]),
        ({"pool": "other", "token": "", "projects": ""}, ["token", "pool"]),
        ({"token": " ", "projects": ""}, ["token", "projects"]),
        ({"worker": "prominence", "prominence_cloud": "c"}, ["region", "node_group", "pool"]),
    ],
)
def test_what_is_missing_is_no_error(change: dict[str, str], missing: list[str]) -> None:
    found = ask("generate", form={**FORM, **change})
    assert [row["field"] for row in found["problems"]] == missing
    assert {row["severity"] for row in found["problems"]} == {"missing"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"token": "aaa bbb"}, "token"),
        ({"token": "a.b.c\nd.e.f"}, "token"),
        ({"projects": "a!"}, "projects"),
        ({"owners": "a!"}, "owners"),
        ({"expression": "A = 1"}, "expression"),
        ({"expression": "A B"}, "expression"),
        ({"group_name": "a\x1b"}, "group_name"),
        ({"group_name": TOKEN}, "group_name"),
        ({"pool": "other", "pool_host": "a b"}, "pool"),
        ({"pool": "other", "pool_host": "osppool"}, "pool"),
        ({"pool": "other", "pool_host": "ospool,x"}, "pool"),
        ({"idle_minutes": "x"}, "idle_minutes"),
        ({"join_minutes": "-1"}, "join_minutes"),
        ({"max_hours": "0"}, "max_hours"),
        ({**PROMINENCE, "region": "a\tb"}, "region"),
        ({**PROMINENCE, "job_id": "a\tb"}, "job_id"),
    ],
)  # fmt: skip
def test_an_error_is_beside_its_field_in_words_of_the_page(change: dict[str, str], field: str) -> None:
    [row] = ask("generate", form={**FORM, **change})["problems"]
    assert (row["field"], row["severity"]) == (field, "error")
    assert "--" not in row["text"], row["text"]


def test_options_that_the_page_does_not_have_are_not_named() -> None:
    long = " || ".join(f'TARGET.Owner == "user{number}"' for number in range(700))
    [row] = [
        one
        for one in ask("generate", form={**FORM, "expression": long})["findings"]
        if one["field"] == "place"
    ]
    assert "gen-userdata --gzip on a Linux machine" in row["text"]


@pytest.mark.parametrize("field", [name for name in FORM if name not in _CHOSEN])
def test_a_token_in_a_wrong_field_is_not_shown(field: str) -> None:
    kinds = ({"pool": "other"}, {**PROMINENCE, "region": "r"})
    for kind in kinds:
        found = ask("generate", form={**FORM, "pool_host": "cm.example.edu", **kind, field: OTHER_TOKEN})
        assert OTHER_TOKEN not in json.dumps({name: found[name] for name in found if name != "text"})
        assert field == "token" or OTHER_TOKEN not in found.get("text", "")


def test_names_may_be_separated_as_people_do() -> None:
    found = ask("generate", form={**FORM, "projects": "TG-A, TG-B;TG-C\nTG-D"})
    assert found["text"].count("TARGET.ProjectName ==") == 4


def test_a_token_file_is_read_as_the_command_reads_it() -> None:
    def token(data: bytes) -> str:
        return str(ask("token_file", data=base64.b64encode(data).decode())["token"])

    assert token(f"# of ann\r\n\n{TOKEN}\r\n".encode()) == TOKEN
    assert token(b"\xef\xbb\xbf" + TOKEN.encode()) == TOKEN
    assert token(f"{TOKEN}\n{TOKEN}\n".encode()) == f"{TOKEN}\n{TOKEN}"
    assert token(b"\xff") == "\ufffd"


@pytest.mark.parametrize(
    ("change", "field", "name"),
    [
        ({"projects": "abc123456"}, "projects", "unusual-project"),
        ({"expression": "TARGET.RequestCpu > 1"}, "expression", "unknown-attribute"),
        ({"max_hours": "8000"}, "token", "outlived-token"),
        ({"token": "aaabbb..."}, "token", "placeholder-token"),
    ],
)
def test_a_finding_is_beside_its_field(change: dict[str, str], field: str, name: str) -> None:
    rows = ask("generate", form={**FORM, **change})["findings"]
    assert [(row["field"], row["id"]) for row in rows] == [(field, name)]
    assert "--" not in rows[0]["text"], rows[0]["text"]
