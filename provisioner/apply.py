"""The loop: for each step, for each action, the target."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.actions import Put, Run
from provisioner.events import Monitor, line, phase
from provisioner.plan import PlannedStep
from provisioner.targets import Target


def apply(steps: Sequence[PlannedStep], target: Target, monitor: Monitor) -> None:
    for step in steps:
        with phase(monitor, f"{step.role}: {step.title}"):
            execute(step, target, monitor)


def execute(step: PlannedStep, target: Target, monitor: Monitor) -> None:
    for action in step.actions:
        match action:
            case Run(argv):
                target.run(argv, lambda text: line(monitor, text))
            case Put(path, data, mode):
                target.put(path, data, mode)
