"""Selections, their constraints, and why a collector does not answer, in words."""

from __future__ import annotations

import pytest

from bakery.status import ask, selection
from bakery.status.ask import Question
from bakery.userdata import rendering
from provisioner.errors import BadInput, Unreachable
from tests.unit.userdata.test_token import NOW, made

CONNECTED = "12/01/26 10:00:00 SECMAN: startCommand succeeded.\n"


def test_the_attributes_are_those_that_workers_advertise() -> None:
    advertised = {key.advertise for kind in ("osg", "prominence") for key in rendering.worker_keys(kind)}
    assert set(selection.ATTRIBUTES.values()) <= advertised


def test_constraints() -> None:
    group = selection.of_options({"group": 'a"b\\ é'})
    assert group.constraint == 'WorkerGroupName == "a\\"b\\\\ é"'
    cloud = selection.of_options({"cloud": "c", "region": None, "node_group": "n"})
    assert cloud.constraint == 'ProminenceCloud == "c" && ProminenceNodeGroup == "n"'
    assert cloud.candidates == "ProminenceCloud =!= undefined || ProminenceNodeGroup =!= undefined"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "No workers are selected"),
        ({"group": None}, "No workers are selected"),
        ({"group": ""}, "--group must be"),
        ({"node_group": "a\nb"}, "--node-group must be"),
        ({"group": "a\x1b[2J"}, "--group must be"),
        ({"group": "a", "cloud": "b"}, "does not apply"),
    ],
)
def test_selections_that_are_none(options: dict[str, str | None], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        selection.of_options(options)
    assert "\x1b" not in str(caught.value)


def test_similar_names() -> None:
    group = selection.of_options({"group": "My worker5"})
    ads = [{"WorkerGroupName": name} for name in ("My workers", "Other", "My workers", "bad\x1b")]
    assert selection.suggestion(group, ads) == "Did you mean My workers?"
    far = selection.of_options({"group": "xyz"})
    assert selection.suggestion(far, ads) == "The pool has workers with WorkerGroupName My workers, Other."
    many = [{"WorkerGroupName": f"g{number}"} for number in range(9)]
    assert selection.suggestion(far, many).endswith("g0, g1, g2, g3, g4 and 4 others.")
    assert selection.suggestion(far, []) == ""


def of(failed: str, log: str, token: str = "") -> str:
    error = ask.error_of(Question("cm.example", token, "true"), failed, log, NOW)
    assert isinstance(error, (BadInput, Unreachable))
    return f"{type(error).__name__}: {error}"


def test_reasons() -> None:
    assert of("constraint", "").startswith("BadInput: true is not a ClassAd expression")
    assert of("collector", CONNECTED).startswith("BadInput: The daemon at cm.example is not a collector")
    other = "IO: Incoming packet header unrecognized"
    assert of("query", other).startswith("BadInput: The service at cm.example is not HTCondor")
    denied = 'SECMAN: FAILED: Received "DENIED" from server for user unauthenticated@unmapped'
    assert of("query", denied).startswith("Unreachable: cm.example refuses anonymous queries. Use --token")
    slow = "condor_read(): timeout reading 5 bytes from collector at <127.0.0.1:9618>.\n"
    assert "accepts connections, but did not answer in time" in of("query", slow)
    text = made()
    denied = 'SECMAN: FAILED: Received "DENIED" from server for user me@x using method IDTOKENS.'
    assert "does not authorize me@x for READ" in of("query", denied, text)
    unknown = "11/29/26 00:59:21 ERROR: SOMETHING:1:odd\x1b[2J\n"
    said = of("query", unknown)
    assert said.startswith(
        "Unreachable: cm.example did not answer the query. HTCondor reports: ERROR: SOMETH"
    )
    assert "\x1b" not in said
