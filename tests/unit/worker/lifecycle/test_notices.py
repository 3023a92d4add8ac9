"""What clouds announce: answers as their documentation has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from worker_runtime.lifecycle import notices, preemption
from worker_runtime.lifecycle.notices import Notice

ACTION = '{"action": "terminate", "time": "2017-09-18T08:22:00Z"}'
NEVER = float("inf")


def azure(kind: str = "Preempt", name: str = "worker_3", before: str = "Mon, 18 Sep 2017 08:22:00 GMT") -> str:
    event = {"EventId": "A", "EventStatus": "Scheduled", "EventType": kind, "NotBefore": before}
    return json.dumps({"DocumentIncarnation": 2, "Events": [{**event, "Resources": ["other", name]}]})


@pytest.mark.parametrize(
    ("found", "ends"),
    [
        (notices.amazon_action(ACTION), 1505722920),
        (notices.amazon_action('{"action": "stop", "time": "soon"}'), NEVER),
        (notices.google_preempted("TRUE\n", 1000), 1030),
        (notices.google_maintenance("TERMINATE_ON_HOST_MAINTENANCE", 1000), 1060),
        (notices.azure_events(azure(), "worker_3"), 1505722920),
        (notices.azure_events(azure("Terminate"), "worker_3"), 1505722920),
        (notices.azure_events(azure(before=""), "worker_3"), NEVER),
    ],
)
def test_an_end_that_is_certain(found: Notice, ends: float) -> None:
    assert found.is_certain
    assert found.ends == ends


def test_a_recommendation_is_not_certain() -> None:
    found = notices.amazon_rebalance('{"noticeTime": "2020-10-27T08:22:00Z"}')
    assert found == Notice("spot instance: Amazon recommends to rebalance", NEVER, False)


@pytest.mark.parametrize(
    "found",
    [
        notices.amazon_action("{}"),
        notices.amazon_action("<html>"),
        notices.amazon_action("[]"),
        notices.amazon_rebalance("{}"),
        notices.google_preempted("FALSE", 0),
        notices.google_maintenance("NONE", 0),
        notices.google_maintenance("MIGRATE_ON_HOST_MAINTENANCE", 0),
        notices.azure_events(azure("Freeze"), "worker_3"),
        notices.azure_events(azure(), "worker_4"),
        notices.azure_events('{"DocumentIncarnation": 1, "Events": []}', "worker_3"),
        notices.azure_events('{"Events": [1, {"Resources": 5, "EventType": "Preempt"}]}', "worker_3"),
    ],
)
def test_nothing_that_ends_this_machine(found: Notice | None) -> None:
    assert found is None


def test_a_certain_notice_replaces_a_recommendation_and_nothing_replaces_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preemption, "NOTICE", str(tmp_path / "notice.json"))
    perhaps, certain = Notice("perhaps", is_certain=False), Notice("certainly", 5.0)

    def asked(answer: Notice | None) -> preemption.Cloud:
        return preemption.Cloud("any", lambda: answer)

    assert preemption.update(asked(perhaps), None) == perhaps
    assert preemption.update(asked(None), perhaps) == perhaps
    assert preemption.update(asked(certain), perhaps) == certain
    assert preemption.update(asked(perhaps), certain) == certain
