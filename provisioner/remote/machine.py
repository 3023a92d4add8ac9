"""A plan applied to a machine that runs already, and may be somebody's.

What of a plan is for images only is left out: the seal, which would remove the machine's host keys,
homes and logs. Package sources are the machine's own. While the plan is applied no service is started
(role base's policy-rc.d), but that ban is ours to lift, and lifts itself if we cannot.

The machine keeps a record of the steps done, so that a plan goes on where it ended, and applied twice
changes nothing. A command that failed is not tried again. After a lost connection the step is applied
again from its beginning, as steps are safe to run twice, and that is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from provisioner.actions import Put
from provisioner.apply import execute
from provisioner.errors import BakeryError, Interrupted, Unreachable
from provisioner.events import Monitor, line, note, phase, warn
from provisioner.plan import Plan, PlannedStep
from provisioner.remote import applied_steps, inventory
from provisioner.roles.base import POLICY
from provisioner.targets import Target
from provisioner.targets.ssh import LOCK, ConnectionLost

SEAL = "seal"
RETRY_DELAYS = (1, 2, 5, 10, 20, 40)  # seconds before each further try at one step
# Asked by whoever installs a package later, and we were cut off before we could lift the ban: it goes.
POLICY_SCRIPT = f"""\
#!/bin/sh
# No service starts while worker-bakery applies a plan to this machine.
if flock -n {LOCK} true; then
    rm -f {POLICY}
    exit 0
fi
exit 101
""".encode()
_T = TypeVar("_T")
# Marked, as other voices may be on_output as well: sudo's, when it cannot resolve the host name.
_MARK = "= "
_SHOW = ("sh", "-c", f'if [ -e "$1" ]; then sed "s/^/{_MARK}/" "$1"; fi', "show")

KEPT = f"{_MARK}stays: "  # inventory.remove's, a package after it
_REMOVE_POLICY = ("rm", "-f", POLICY)


@dataclass(frozen=True)
class Options:
    seal: bool = False
    from_scratch: bool = False
    delays: tuple[float, ...] = RETRY_DELAYS


@dataclass(frozen=True)
class Outcome:
    """`before` of `steps` were done already; `left_out` are the titles of those for images only."""

    steps: tuple[PlannedStep, ...]
    before: int
    left_out: tuple[str, ...]


def steps_for(plan: Plan, *, seal: bool) -> tuple[tuple[PlannedStep, ...], tuple[str, ...]]:
    """The plan's steps for a machine that runs, and the titles of those left out.

    The ban on starting services is neither: it is no state that a machine is to be in.
    """
    wanted = [step for step in plan.steps if not is_service_policy(step)]
    kept = tuple(step for step in wanted if seal or step.role != SEAL)
    return kept, tuple(f"{step.role}: {step.title}" for step in wanted if step not in kept)


def is_service_policy(step: PlannedStep) -> bool:
    return any(isinstance(action, Put) and action.path == POLICY for action in step.actions)


def remove(target: Target, monitor: Monitor, sleep: Callable[[float], None] = time.sleep) -> bool:
    """The machine as it was before plans were applied to it; False if there is nothing to undo.

    Raises what the target does; CommandFailed as well where packages of others need those of the plan.
    """
    machine = _Machine(target, monitor, RETRY_DELAYS, sleep)
    with phase(monitor, "give the machine back"):
        rows = machine.output_of(inventory.remove())
    stay = [row.removeprefix(KEPT) for row in rows if row.startswith(KEPT)]
    if stay:
        note(monitor, f"Of what plans have brought stays what other packages need: {', '.join(stay)}.")
    return "= given back" in rows


def apply_plan(
    plan: Plan,
    target: Target,
    monitor: Monitor,
    options: Options,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Raises what the target does: CommandFailed, DiskFull, Unreachable, MissingHere, BadInput."""
    steps, left_out = steps_for(plan, seal=options.seal)
    machine = _Machine(target, monitor, options.delays, sleep)
    recorded = applied_steps.parse(machine.text_of(applied_steps.PATH)) if not options.from_scratch else ()
    before = applied_steps.done(steps, recorded)
    _report_start(monitor, steps, before, left_out)
    if before < len(steps):
        with _services_not_started(plan, machine):
            _apply_remaining(steps, before, machine)
    return Outcome(steps, before, left_out)


@dataclass(frozen=True)
class _Machine:
    """A target whose lost connections are made again: a bounded number of times for each thing done."""

    target: Target
    monitor: Monitor
    delays: tuple[float, ...]
    sleep: Callable[[float], None]

    def text_of(self, path: str) -> str:
        """A text file of the machine; empty if there is none."""

        def show() -> str:
            rows: list[str] = []
            self.target.run((*_SHOW, path), rows.append)
            return "\n".join(row.removeprefix(_MARK) for row in rows if row.startswith(_MARK))

        return self._retry(show)

    def output_of(self, argv: tuple[str, ...]) -> list[str]:
        """What the command prints."""

        def run() -> list[str]:
            rows: list[str] = []

            def on_output(text: str) -> None:
                rows.append(text.rstrip())
                line(self.monitor, text)

            self.target.run(argv, on_output)
            return rows

        return self._retry(run)

    def put(self, path: str, data: bytes, mode: int) -> None:
        self._retry(lambda: self.target.put(path, data, mode))

    def remove_policy(self) -> None:
        self._retry(lambda: self.target.run(_REMOVE_POLICY, lambda _: None))

    def execute(self, step: PlannedStep) -> None:
        self._retry(lambda: execute(step, self.target, self.monitor))

    def _retry(self, do: Callable[[], _T]) -> _T:
        for delay in self.delays:
            try:
                return do()
            except ConnectionLost as lost:
                warn(
                    self.monitor, f"{lost.message} In {delay:g} s it is made again, and the step repeated."
                )
                self.sleep(delay)
        try:
            return do()
        except ConnectionLost as lost:
            tries = len(self.delays) + 1
            hint = "The same command goes on at this step when the machine can be reached again."
            raise Unreachable(f"{lost.message} {tries} tries were made.", hint) from None


def _report_start(
    monitor: Monitor, steps: Sequence[PlannedStep], before: int, left_out: Sequence[str]
) -> None:
    if left_out:
        note(monitor, f"Left out, as they are for images only (--seal): {'; '.join(left_out)}.")
    if 0 < before < len(steps):
        note(monitor, f"{before} of {len(steps)} steps are done already; going on after them.")


def _apply_remaining(steps: Sequence[PlannedStep], before: int, machine: _Machine) -> None:
    machine.output_of(inventory.save(steps[before:]))
    # Then the record forgets what is to be done again.
    machine.put(applied_steps.PATH, applied_steps.text(steps[:before]), 0o644)
    for number, step in enumerate(steps[before:], before + 1):
        with phase(machine.monitor, f"{step.role}: {step.title}"):
            machine.execute(step)
            machine.put(applied_steps.PATH, applied_steps.text(steps[:number]), 0o644)
    machine.output_of(inventory.note_installed())


@contextmanager
def _services_not_started(plan: Plan, machine: _Machine) -> Iterator[None]:
    """While the block runs, if the plan wants it so and the machine has no policy of its own."""
    if not _uses_own_policy(plan, machine):
        yield
        return
    machine.put(POLICY, POLICY_SCRIPT, 0o755)
    try:
        yield
    except Interrupted:
        warn(machine.monitor, "What is under way on the machine goes on to its end; the next run delays.")
        raise
    except BakeryError:
        with suppress(BakeryError):  # once: to try for minutes would only hide why
            machine.target.run(_REMOVE_POLICY, lambda _: None)
        raise
    machine.remove_policy()


def _uses_own_policy(plan: Plan, machine: _Machine) -> bool:
    if not any(is_service_policy(step) for step in plan.steps):
        return False
    found = machine.text_of(POLICY)
    ours = found.strip() in ("", POLICY_SCRIPT.decode().strip())
    if not ours:
        note(machine.monitor, f"The machine's own {POLICY} stays, and says which services start.")
    return ours
