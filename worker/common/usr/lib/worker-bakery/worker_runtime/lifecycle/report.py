"""Builds the state of the worker as JSON, and publishes it in /run for everybody to read."""

import json
import os
from typing import Any, Dict, Mapping, Optional

from worker_runtime.configuration import applied, condor_config, instance
from worker_runtime.configuration.kind import Kind
from worker_runtime.lifecycle import renewal
from worker_runtime.lifecycle.advertisement import Progress
from worker_runtime.lifecycle.inspection import Inspection, Service
from worker_runtime.lifecycle.states import Memory, Status
from worker_runtime.system import files, paths

_PLACES = ("site", "country")  # kinds of values, see values.py


def publish(
    status: Status, memory: Memory, progress: Progress, inspection: Inspection, service: Service
) -> bytes:
    """Write the state to /run and return the same JSON, for the clients that wait for it."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    state = build(status, memory, progress, inspection, service)
    text = json.dumps(state, indent=1, sort_keys=True).encode("ascii") + b"\n"
    files.put(paths.STATUS, text, 0o644)
    return text


def build(
    status: Status, memory: Memory, progress: Progress, inspection: Inspection, service: Service
) -> Dict[str, Any]:
    """The state as JSON data.

    All times are seconds since 1970, or null; but `looked` is time.monotonic().
    """
    epoch = inspection.epoch - inspection.facts.now

    def date(seconds: Optional[float]) -> Optional[int]:
        return int(epoch + seconds) if seconds and seconds != float("inf") else None

    values, reading = inspection.values, inspection.reading
    waits = not reading.current or not reading.now.file
    return {
        "state": status.state,
        "why": status.why,
        "deadline": date(status.deadline),
        "joined": date(memory.joined),
        # The last answer of HTCondor; before its first answer, when it was configured.
        "answered": date(memory.answered),
        # Whether the pool shows this configuration and this health.
        "advertised": bool(memory.joined and progress.shows),
        "ends": date(inspection.limits.lifetime),
        "claimed": inspection.facts.claimed,
        "htcondor": inspection.facts.unit,
        "on_idle": values["OnIdle"],
        "configured": bool(inspection.facts.configured),
        "pending": applied.pending(service.kind, reading, service.reader()) if waits else "",
        "problems": list(reading.problems),
        "pool": values["CentralManager"],
        "servers": [
            {"address": one.address, "broker": one.is_broker, "problem": problem}
            for one, problem in inspection.answers.pairs
        ],
        "group": group_name(service.kind, values),
        "start": condor_config.requirements(service.kind, values) if inspection.facts.configured else "",
        "token": {
            "expires": int(inspection.token.expires) or None,
            "renewed": int(renewal.renewal_time(inspection.token)) if reading.renewable else None,
        },
        "image": instance.image_attributes(files.read_json(instance.IMAGE)),
        "at": int(inspection.epoch),
        "looked": inspection.at,
    }


def group_name(kind: Kind, values: Mapping[str, str]) -> str:
    """The values that identify the worker in the pool; not its location, which other workers share."""
    values_shown = (values[key.setting] for key in kind.keys if key.advertise and key.kind not in _PLACES)
    return ", ".join(value for value in values_shown if value)
