"""Apply a plan to a remote machine that already runs and may be in use.

The steps for images only are skipped: the seal would remove the machine's host keys, homes and logs, and
kernel arguments could not be removed again from a boot loader that others change. The machine uses its own
package sources. While a plan is applied, policy-rc.d prevents package scripts from starting services; it is
removed afterwards, and removes itself if this process was interrupted.

The machine records the applied steps, so an interrupted plan continues where it stopped, and applying it
twice changes nothing. Failed commands are not retried. After a lost connection the step is repeated from
its beginning, because steps are safe to run twice, and a warning is emitted.
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
from provisioner.roles.site.kernel import edits_boot_loader
from provisioner.targets import Target
from provisioner.targets.ssh import LOCK, ConnectionLost

SEAL = "seal"
RETRY_DELAYS = (1, 2, 5, 10, 20, 40)  # seconds before each retry of one step
# If this process was interrupted, the policy removes itself when the next package installation runs it.
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
# Marks our lines, because other programs print as well, for example sudo if it cannot resolve the host
# name.
_MARK = "= "
_SHOW = ("sh", "-c", f'if [ -e "$1" ]; then sed "s/^/{_MARK}/" "$1"; fi', "show")

KEPT = f"{_MARK}stays: "  # printed by inventory.remove before the name of a package
_REMOVE_POLICY = ("rm", "-f", POLICY)


@dataclass(frozen=True)
class Options:
    """How to apply a plan: with the seal, ignoring the record, and the seconds before each retry."""

    seal: bool = False
    from_scratch: bool = False
    delays: tuple[float, ...] = RETRY_DELAYS


@dataclass(frozen=True)
class Outcome:
    """The first `before` of `steps` were already applied; `left_out` are titles of skipped steps."""

    steps: tuple[PlannedStep, ...]
    before: int
    left_out: tuple[str, ...]


def steps_for(plan: Plan, *, seal: bool) -> tuple[tuple[PlannedStep, ...], tuple[str, ...]]:
    """The steps of the plan for a remote machine, and the titles of the skipped ones.

    The step that writes policy-rc.d is in neither: `apply_plan` handles it separately.
    """
    wanted = [step for step in plan.steps if not is_service_policy(step)]
    kept = tuple(
        step for step in wanted if (seal or step.role != SEAL) and not edits_boot_loader(step.actions)
    )
    return kept, tuple(f"{step.role}: {step.title}" for step in wanted if step not in kept)


def is_service_policy(step: PlannedStep) -> bool:
    """Whether the step writes policy-rc.d."""
    return any(isinstance(action, Put) and action.path == POLICY for action in step.actions)


def remove(target: Target, monitor: Monitor, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Restore the machine to its state before plans were applied; False if it has no saved state.

    Raises what the target raises; CommandFailed also if other packages need those of the plan.
    """
    machine = _Machine(target, monitor, RETRY_DELAYS, sleep)
    with phase(monitor, "restore the machine"):
        rows = machine.output_of(inventory.remove())
    stay = [row.removeprefix(KEPT) for row in rows if row.startswith(KEPT)]
    if stay:
        note(monitor, f"Kept, because other packages depend on them: {', '.join(stay)}.")
    return "= restored" in rows


def apply_plan(
    plan: Plan,
    target: Target,
    monitor: Monitor,
    options: Options,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Apply the steps of the plan that the machine has not recorded as applied.

    Raises what the target raises: CommandFailed, DiskFull, Unreachable, MissingHere, BadInput.
    """
    steps, left_out = steps_for(plan, seal=options.seal)
    machine = _Machine(target, monitor, options.delays, sleep)
    recorded = applied_steps.parse(machine.text_of(applied_steps.PATH)) if not options.from_scratch else ()
    before = applied_steps.done(steps, recorded)
    _report_start(monitor, steps, before, left_out)
    if plan.root_size:
        note(monitor, "The root file system is not enlarged: that is for images only.")
    if before < len(steps):
        with _services_not_started(plan, machine):
            _apply_remaining(steps, before, machine)
    return Outcome(steps, before, left_out)


@dataclass(frozen=True)
class _Machine:
    """A target that reconnects after a lost connection, up to `len(delays)` times for each operation."""

    target: Target
    monitor: Monitor
    delays: tuple[float, ...]
    sleep: Callable[[float], None]

    def text_of(self, path: str) -> str:
        """The text of a file on the machine; empty if there is no such file."""

        def show() -> str:
            rows: list[str] = []
            self.target.run((*_SHOW, path), rows.append)
            return "\n".join(row.removeprefix(_MARK) for row in rows if row.startswith(_MARK))

        return self._retry(show)

    def output_of(self, argv: tuple[str, ...]) -> list[str]:
        """The lines that a command prints."""

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
                warn(self.monitor, f"{lost.message} Reconnecting in {delay:g} s, then repeating the step.")
                self.sleep(delay)
        try:
            return do()
        except ConnectionLost as lost:
            tries = len(self.delays) + 1
            hint = "When the machine is reachable again, run the same command: it continues at this step."
            raise Unreachable(f"{lost.message} Gave up after {tries} tries.", hint) from None


def _report_start(
    monitor: Monitor, steps: Sequence[PlannedStep], before: int, left_out: Sequence[str]
) -> None:
    seal = [title for title in left_out if title.startswith(f"{SEAL}: ")]
    others = [title for title in left_out if title not in seal]
    if seal:
        note(monitor, f"Skipped, because they are for images only (--seal): {'; '.join(seal)}.")
    if others:
        note(monitor, f"Skipped, because they change the boot loader: {'; '.join(others)}.")
    if 0 < before < len(steps):
        note(monitor, f"{before} of {len(steps)} steps are already applied. Continuing after them.")


def _apply_remaining(steps: Sequence[PlannedStep], before: int, machine: _Machine) -> None:
    machine.output_of(inventory.save(steps[before:]))
    # Remove from the record the steps that are applied again.
    machine.put(applied_steps.PATH, applied_steps.text(steps[:before]), 0o644)
    for number, step in enumerate(steps[before:], before + 1):
        with phase(machine.monitor, f"{step.role}: {step.title}"):
            machine.execute(step)
            machine.put(applied_steps.PATH, applied_steps.text(steps[:number]), 0o644)
    machine.output_of(inventory.note_installed())


@contextmanager
def _services_not_started(plan: Plan, machine: _Machine) -> Iterator[None]:
    """Install our policy-rc.d while the block runs, if the plan has one and the machine does not."""
    if not _uses_own_policy(plan, machine):
        yield
        return
    machine.put(POLICY, POLICY_SCRIPT, 0o755)
    try:
        yield
    except Interrupted:
        warn(
            machine.monitor, "The current command continues on the machine. The next run waits for its end."
        )
        raise
    except BakeryError:
        with suppress(BakeryError):  # one try: retrying for minutes would delay the error
            machine.target.run(_REMOVE_POLICY, lambda _: None)
        raise
    machine.remove_policy()


def _uses_own_policy(plan: Plan, machine: _Machine) -> bool:
    if not any(is_service_policy(step) for step in plan.steps):
        return False
    found = machine.text_of(POLICY)
    ours = found.strip() in ("", POLICY_SCRIPT.decode().strip())
    if not ours:
        note(
            machine.monitor, f"The machine has its own {POLICY}, which stays in effect: services may start."
        )
    return ours
