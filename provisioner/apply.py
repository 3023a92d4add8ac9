"""Apply the actions of steps to a target, in order."""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.actions import Put, Run
from provisioner.events import Monitor, line, phase
from provisioner.plan import PlannedStep
from provisioner.targets import Target


def apply(steps: Sequence[PlannedStep], target: Target, monitor: Monitor) -> None:
    """Execute steps, each as a phase. Raises what the target raises; later steps are not executed."""
    for step in steps:
        with phase(monitor, f"{step.role}: {step.title}"):
            execute(step, target, monitor)


def execute(step: PlannedStep, target: Target, monitor: Monitor) -> None:
    """Execute the actions of one step. Raises what the target raises."""
    for action in step.actions:
        match action:
            case Run(argv):
                target.run(argv, lambda text: line(monitor, text))
            case Put(path, data, mode):
                target.put(path, data, mode)
