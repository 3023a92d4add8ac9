"""Execute a replacement: one step after the other, until all servers are of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bakery.fleet import joining, marks, reaping, scaling
from bakery.fleet.api import Api
from bakery.fleet.deletion import delete_all, delete_empty_groups
from bakery.fleet.launch import launch
from bakery.fleet.plan import Plan
from bakery.fleet.replacement import steps
from bakery.fleet.replacement.drain import drain
from bakery.fleet.replacement.steps import Done, Goal, Join, Launch, Remove, Step
from bakery.fleet.servers import Server
from bakery.fleet.states import Member
from bakery.runtime.conditions import Condition, wait
from bakery.status.texts import counted, printable
from provisioner.errors import BadInput, BakeryError, NotProven, Refused, Unreachable
from provisioner.events import Monitor, note, phase, warn
from provisioner.process.scrub import scrub

_INTERVAL = 10.0  # seconds between two queries
_REASON = "worker-bakery fleet replace: another image"


@dataclass(frozen=True)
class Manner:
    """How to replace: limits in seconds, and a token for ADMINISTRATOR of the pool ("": none).

    `force` also deletes workers with running jobs.
    """

    jobs: float
    join: float
    token: str = field(default="", repr=False)
    force: bool = False


@dataclass
class Roll:
    """A replacement of a group. `members` asks for its servers, `plan` returns that of
    further ones, of their number and the size of the group.

    `deleted` and `launched` are what was done; they are complete after an error, too.
    """

    goal: Goal
    manner: Manner
    members: Callable[[], list[Member]]
    plan: Callable[[int, int], Plan]
    api: Api
    monitor: Monitor
    deleted: list[Server] = field(default_factory=list)
    launched: list[Server] = field(default_factory=list)
    _refused: set[str] = field(default_factory=set)

    def run(self, size: int) -> None:
        """Replace the servers; `size` is how many the group shall have.

        Raises BakeryError and its subclasses, and the exceptions of openstacksdk. A further run goes on
        where this one has ended, however it did.
        """
        if not steps.is_unfinished(self.members(), self.goal.image):
            return
        self._record(size)
        while not isinstance(step := steps.next_step(self.members(), self.goal, size), Done):
            self._execute(step, size)
        self._forget()
        if step.locked:
            names = ", ".join(printable(one.server.name, 63) for one in step.locked)
            raise Refused(
                f"Servers of another image are locked, and were not replaced: {names}.",
                "Unlock them (openstack server unlock), and run this command again.",
            )

    def _execute(self, step: Step, size: int) -> None:
        if isinstance(step, Remove):
            self._remove(step.members)
        elif isinstance(step, Launch):
            self._launch(step.count, size)
        elif isinstance(step, Join):
            self._join(step.members, size)

    # --- the size of the group ---

    def _record(self, size: int) -> None:
        """Write the size to all servers that count, before the first one is deleted."""
        for one in scaling.counted(self.members()):
            if one.server.size != size and not one.server.locked:
                self.api.describe(one.server, {marks.SIZE: str(size)})

    def _forget(self) -> None:
        for one in self.members():
            if one.server.size and not one.server.locked and one.state != "deleting":
                self.api.forget(one.server, marks.SIZE)

    # --- servers of another image ---

    def _remove(self, members: Sequence[Member]) -> None:
        ids = {one.server.id for one in members}
        if not self.manner.force:
            self._drain(members)
            self._wait_for_jobs(ids)
        found = [one for one in self.members() if one.server.id in ids]
        verdicts = reaping.requested(found, "it is of another image", force=self.manner.force)
        doomed = [one.member.server for one in verdicts if one.delete]
        left = delete_all(self.api, doomed, self.monitor)
        self.deleted += [one for one in doomed if one not in left]
        delete_empty_groups(self.api, {one.mark.launch for one in doomed})
        kept = [f"{one.member.server.name}: {one.reason}" for one in verdicts if not one.delete]
        kept += [f"{one.name}: the cloud did not delete it" for one in left]
        if kept:
            raise BakeryError(
                f"Not all servers could be deleted: {'; '.join(kept)}.", "Run this command again."
            )

    def _drain(self, members: Sequence[Member]) -> None:
        for member in members:
            worker = member.worker
            if not worker or not member.server.running or worker.state in ("draining", "drained"):
                continue
            why = drain(member.server.mark.pool, worker.name, _REASON, self.manner.token)
            if why and why not in self._refused:
                self._refused.add(why)
                warn(
                    self.monitor,
                    f"{printable(worker.name, 63)} cannot be drained, and may start further jobs. Its "
                    f"server is deleted when the worker is idle. {scrub(printable(why))}",
                )

    def _wait_for_jobs(self, ids: set[str]) -> None:
        """Wait until no job runs on these servers. Raises BakeryError: some still do."""

        def busy() -> list[str]:
            there = (one for one in self.members() if one.server.id in ids)
            found = [one.server.name for one in there if not scaling.is_free(one)]
            if found:
                note(self.monitor, f"Jobs run, or may run, on {counted(len(found), 'server')}.")
            return found

        with phase(self.monitor, f"wait for the jobs on {counted(len(ids), 'server')}"):
            try:
                condition = Condition("no job runs there", busy, self.manner.jobs, lambda found: not found)
                wait(condition, interval=_INTERVAL)
            except NotProven:
                raise BakeryError(
                    f"After {self.manner.jobs:g} s, jobs run or may run on {', '.join(busy())}. These were "
                    "not deleted.",
                    "Run this command again, or use --force.",
                ) from None

    # --- servers of the image ---

    def _launch(self, count: int, size: int) -> None:
        try:
            plan = self.plan(count, size)
        except (BadInput, Refused) as error:
            raise self._stopped(error, size) from None
        made = launch(plan, self.api, self.monitor, keep_partial=False)
        self.launched += made.servers
        if made.failure:
            raise self._stopped(made.failure, size)

    def _join(self, members: Sequence[Member], size: int) -> None:
        """Raises Unreachable: not all are in the pool in time, with what their consoles say."""
        ids = {one.server.id for one in members}

        def query() -> list[Member]:
            return [one for one in self.members() if one.server.id in ids]

        try:
            joining.wait_for_all(query, len(ids), self.api, self.monitor, self.manner.join)
        except Unreachable as error:
            raise self._stopped(error, size) from None

    def _stopped(self, error: BakeryError, size: int) -> BakeryError:
        """The error, which also says how far the replacement has come."""
        there = self.members()
        left = len(scaling.counted(steps.outdated(there, self.goal.image)))
        text = f"The replacement has stopped: {counted(left, 'server')} of another image stay"
        missing = size - len(scaling.counted(there))
        text += f", and {missing} of {size} are missing." if missing > 0 else "."
        return type(error)(f"{error.message.rstrip()} {text}", f"{error.hint} Then run this command again.")
