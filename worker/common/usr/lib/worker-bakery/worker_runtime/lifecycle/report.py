"""Builds the state of the worker as JSON, and publishes it in /run for everybody to read."""

import json
import os
from typing import Any, Dict, Mapping, Optional

from worker_runtime.configuration import applied, condor_config, instance
from worker_runtime.configuration.kind import Kind
from worker_runtime.lifecycle.advertisement import Progress
from worker_runtime.lifecycle.inspection import Inspection, Service
from worker_runtime.lifecycle.states import Memory, Status
from worker_runtime.system import files, paths

_PLACES = ("site", "country")  # kinds of values, see values.py


def publish(now: Status, memory: Memory, told: Progress, seen: Inspection, service: Service) -> bytes:
    """What is published, for whoever has asked for it."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    found = build(now, memory, told, seen, service)
    text = json.dumps(found, indent=1, sort_keys=True).encode("ascii") + b"\n"
    files.put(paths.STATUS, text, 0o644)
    return text


def build(
    now: Status, memory: Memory, told: Progress, seen: Inspection, service: Service
) -> Dict[str, Any]:
    """All times are seconds since 1970, or null; but `looked` is time.monotonic()."""
    epoch = seen.epoch - seen.facts.now

    def date(seconds: Optional[float]) -> Optional[int]:
        return int(epoch + seconds) if seconds and seconds != float("inf") else None

    values, reading = seen.values, seen.reading
    waits = not reading.current or not reading.now.file
    return {
        "state": now.state,
        "why": now.why,
        "deadline": date(now.deadline),
        "joined": date(memory.joined),
        # Whether the pool shows all of that: this configuration, this health.
        "advertised": bool(memory.joined and told.shows),
        "ends": date(seen.limits.lifetime),
        "claimed": seen.facts.claimed,
        "htcondor": seen.facts.unit,
        "on_idle": values["OnIdle"],
        "configured": bool(seen.facts.configured),
        "pending": applied.pending(service.kind, reading, service.reader()) if waits else "",
        "problems": list(reading.problems),
        "pool": values["CentralManager"],
        "servers": [
            {"address": one.address, "broker": one.is_broker, "problem": problem}
            for one, problem in seen.answers.pairs
        ],
        "group": group_name(service.kind, values),
        "start": condor_config.requirements(service.kind, values) if seen.facts.configured else "",
        "image": instance.image_attributes(files.read_json(instance.IMAGE)),
        "at": int(seen.epoch),
        "looked": seen.at,
    }


def group_name(mine: Kind, values: Mapping[str, str]) -> str:
    """By what the worker is found in the pool; not where it is, which other workers say, too."""
    shown = (values[key.setting] for key in mine.keys if key.advertise and key.kind not in _PLACES)
    return ", ".join(value for value in shown if value)
