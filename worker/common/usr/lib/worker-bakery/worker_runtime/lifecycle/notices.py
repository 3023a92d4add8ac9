"""What clouds announce before they take a machine away, as their metadata services say it. Pure.

Amazon    spot/instance-action, events/recommendations/rebalance (EC2, "Spot Instance interruptions")
Google    instance/preempted, instance/maintenance-event (Compute Engine, "Preemptible VM instances")
Azure     Scheduled Events ("Scheduled Events for Linux VMs")

OpenStack defines no such notice.
"""

import calendar
import json
import time
from typing import Any, Iterator, List, Mapping, NamedTuple, Optional

FOREVER = float("inf")
# Google: 30 s after a preemption, and at least a minute before a maintenance that ends the machine.
GOOGLE_PREEMPTED, GOOGLE_MAINTENANCE = 30, 60
_AMAZON_TIME, _AZURE_TIME = "%Y-%m-%dT%H:%M:%SZ", "%a, %d %b %Y %H:%M:%S %Z"
_AZURE_ENDS = ("Preempt", "Terminate")


class Notice(NamedTuple):
    """Why the cloud will take the machine, and when at the latest, in seconds since 1970.

    With `is_certain` false, the machine may also stay: jobs may end, however long they take.
    """

    why: str
    ends: float = FOREVER
    is_certain: bool = True


def amazon_action(text: str) -> Optional[Notice]:
    """Of spot/instance-action: {"action": "terminate", "time": "2017-09-18T08:22:00Z"}."""
    found = _object(text)
    if not found.get("action"):
        return None
    ends = _epoch(found.get("time"), _AMAZON_TIME)
    return Notice("spot instance: Amazon announced %s" % found["action"], ends)


def amazon_rebalance(text: str) -> Optional[Notice]:
    """Of events/recommendations/rebalance: {"noticeTime": "2020-10-27T08:22:00Z"}."""
    if not _object(text).get("noticeTime"):
        return None
    return Notice("spot instance: Amazon recommends to rebalance", is_certain=False)


def google_preempted(text: str, now: float) -> Optional[Notice]:
    """Of instance/preempted: TRUE or FALSE."""
    there = text.strip().upper() == "TRUE"
    return Notice("Google preempts the machine", now + GOOGLE_PREEMPTED) if there else None


def google_maintenance(text: str, now: float) -> Optional[Notice]:
    """Of instance/maintenance-event; a machine that migrates goes on."""
    there = text.strip() == "TERMINATE_ON_HOST_MAINTENANCE"
    return Notice("Google stops the machine for maintenance", now + GOOGLE_MAINTENANCE) if there else None


def is_azure(text: str) -> bool:
    """Whether this is an answer of scheduledevents: {"DocumentIncarnation": 1, "Events": []}."""
    return "DocumentIncarnation" in _object(text)


def azure_events(text: str, machine: str) -> Optional[Notice]:
    """Of scheduledevents: the first event that ends this machine; others are of its availability set."""
    for event in _events(text):
        if event.get("EventType") in _AZURE_ENDS and machine in _names(event):
            # Empty once it has started.
            ends = _epoch(event.get("NotBefore"), _AZURE_TIME)
            return Notice("Azure announced %s" % event["EventType"], ends)
    return None


def _events(text: str) -> Iterator[Mapping[str, Any]]:
    events = _object(text).get("Events")
    return (event for event in events if isinstance(event, dict)) if isinstance(events, list) else iter(())


def _names(event: Mapping[str, Any]) -> List[Any]:
    names = event.get("Resources")
    return names if isinstance(names, list) else []


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _epoch(text: Any, form: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(str(text), form)))
    except ValueError:
        return FOREVER
