"""What keeps a job from each worker: its slots assessed, and the conditions sorted by what they are about.

Pure. What only the jobs in a slot take away counts as lacking now, not as an obstacle: a partitionable slot
is also evaluated as if it were empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bakery.status import workers
from bakery.status.why import ads, clauses
from bakery.status.why.clauses import Ads, Clause
from bakery.status.workers import Ad, Worker

if TYPE_CHECKING:
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

Kind = Literal[
    "memory", "cpus", "disk", "gpus", "project", "container", "file-transfer", "system", "requirements",
    "start", "start-false", "start-error", "retiring", "draining", "unhealthy", "owner", "silent",
]  # fmt: skip
# Of each resource, the attributes of the slot, of the empty slot, and of the job.
RESOURCES: Mapping[Kind, tuple[str, str, str]] = {
    "cpus": ("Cpus", "TotalSlotCpus", "RequestCpus"),
    "memory": ("Memory", "TotalSlotMemory", "RequestMemory"),
    "disk": ("Disk", "TotalSlotDisk", "RequestDisk"),
    "gpus": ("GPUs", "TotalSlotGPUs", "RequestGPUs"),
}
PROJECTS = ("projectname", "project", "osgprojectname")
_TRANSFER = frozenset(
    {"filesystemdomain", "hasfiletransfer", "hasfiletransferpluginmethods", "hasjobtransferplugins"}
)
_LIFETIME = frozenset({"workerretires", "workerends", "glidein_toretire", "glidein_todie"})
_SYSTEM = (
    "opsys",
    "arch",
    "utsname",
    "microarch",
    "osg_os_",
    "osgvo_os_",
    "has_avx",
    "has_sse",
    "has_ssse",
)
_CONTAINER = ("container", "singularity", "apptainer", "docker", "hassif", "sandboximage")
# What is one obstacle, however many conditions it fails.
_MERGED = (
    *RESOURCES,
    "container",
    "file-transfer",
    "start-error",
    "retiring",
    "draining",
    "unhealthy",
    "owner",
    "silent",
)


@dataclass(frozen=True)
class Obstacle:
    """Why a worker does not accept the job; without `clauses` it is the worker's state."""

    kind: Kind
    clauses: tuple[Clause, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for what is the same on several workers."""
        if self.kind in _MERGED or not self.clauses:
            return (self.kind,)
        return (self.kind, self.clauses[0].side, self.clauses[0].text)


@dataclass(frozen=True)
class Assessment:
    """A worker, and its slot that is nearest to accepting the job.

    `obstacles` exclude the job even from the empty slot, `lacking` only as long as other jobs occupy it.
    """

    worker: Worker
    slot: Ad
    obstacles: tuple[Obstacle, ...] = ()
    lacking: tuple[Obstacle, ...] = ()

    @property
    def accepts(self) -> bool:
        return not self.obstacles and not self.lacking

    @property
    def distance(self) -> tuple[int, int]:
        return len(self.obstacles), len(self.lacking)


def assess(job: classad2.ClassAd, slots: Iterable[Ad], now: float) -> tuple[Assessment, ...]:
    """Assess each worker of these slots for the job."""
    grouped = workers.with_slots(slots, now)
    return tuple(_nearest(job, worker, its_slots) for worker, its_slots in grouped)


def _nearest(job: classad2.ClassAd, worker: Worker, slots: Sequence[Ad]) -> Assessment:
    """Dynamic slots are only for the jobs for which they were made."""
    own = [slot for slot in slots if slot.get("SlotType") != "Dynamic"] or slots
    return min((_of_slot(job, worker, slot) for slot in own), key=lambda found: found.distance)


def _of_slot(job: classad2.ClassAd, worker: Worker, slot: Ad) -> Assessment:
    pair = Ads(job, ads.decoded(slot))
    now = () if clauses.matches(pair) else _failing(pair)
    ever = _failing(Ads(job, _emptied(slot))) if now and _is_divided(slot) else now
    lasting = [clause for clause in ever if not _only_now(clause, slot)]
    # What also fails in the empty slot is no lack.
    obstacles = (*_states(worker, slot), *_sorted(_relevant(lasting, worker), worker))
    kinds = {found.key for found in obstacles}
    lacking = [one for one in _sorted(_relevant(now, worker), worker) if one.key not in kinds]
    if not lacking and not obstacles and workers.is_claimed(slot) and not _is_divided(slot):
        lacking = [Obstacle("cpus")]  # a static slot runs one job
    return Assessment(worker, slot, obstacles, tuple(lacking))


def _failing(pair: Ads) -> tuple[Clause, ...]:
    return (*clauses.failing("job", pair), *clauses.failing("worker", pair))


def _is_divided(slot: Ad) -> bool:
    return slot.get("SlotType") == "Partitionable"


def _emptied(slot: Ad) -> classad2.ClassAd:
    totals = {now: slot[total] for now, total, _ in RESOURCES.values() if total in slot}
    return ads.decoded({**slot, **totals})


def _only_now(clause: Clause, slot: Ad) -> bool:
    """Whether it is about GPUs of which some are in use: the ad lists only the available ones."""
    free, total = _number(slot, "GPUs"), _number(slot, "TotalSlotGPUs")
    wanted = clause.value("job", "RequestGPUs")
    return kind_of(clause) == "gpus" and free < total and wanted.isdecimal() and int(wanted) <= total


def _states(worker: Worker, slot: Ad) -> Iterator[Obstacle]:
    if worker.state == "silent":
        yield Obstacle("silent")
    if slot.get("Draining") is True or slot.get("State") == "Drained":
        yield Obstacle("draining")
    elif slot.get("State") == "Owner":
        yield Obstacle("owner")


def _relevant(found: Iterable[Clause], worker: Worker) -> Iterator[Clause]:
    """A worker that drains has Requirements = false instead of its Start."""
    drains = worker.state in ("draining", "drained")
    return (one for one in found if not (drains and one.side == "worker" and not one.names("job")))


def _sorted(found: Iterable[Clause], worker: Worker) -> Iterator[Obstacle]:
    """Merge the conditions of one kind if it is about the whole worker."""
    merged: dict[tuple[str, ...], Obstacle] = {}
    for clause in found:
        one = Obstacle(_kind_on(clause, worker), (clause,))
        before = merged.get(one.key)
        merged[one.key] = Obstacle(one.kind, (*before.clauses, clause)) if before else one
    return iter(merged.values())


def _kind_on(clause: Clause, worker: Worker) -> Kind:
    if clause.side == "worker" and worker.accepts == workers.NO_JOB and clause.outcome != "false":
        return "start-error"
    return kind_of(clause)


def kind_of(clause: Clause) -> Kind:
    """Return what a condition is about, by the attributes to which it refers."""
    of_job, of_slot = clause.names("job"), clause.names("worker")
    if resource := _resource(clause.side, of_job, of_slot):
        return resource
    if clause.side == "job":
        return _of_job(of_slot)
    if "node_is_healthy" in of_slot:
        return "unhealthy"
    if of_slot & _LIFETIME:
        return "retiring"
    if of_job & set(PROJECTS):
        return "project"
    return "start-false" if clause.outcome == "false" and of_slot == {"start"} else "start"


def _resource(side: str, of_job: frozenset[str], of_slot: frozenset[str]) -> Kind | None:
    """`MY.Cpus > 0` is about a resource as well, if it is a condition of the slot."""
    if side == "job" and "availablegpus" in of_slot:
        return "gpus"
    for kind, (free, total, request) in RESOURCES.items():
        asked = of_job & {request.casefold(), f"_condor_{request.casefold()}"}
        has = of_slot & {free.casefold(), total.casefold()}
        if has and (asked or (side == "worker" and not of_job and len(of_slot) == 1)):
            return kind
    return None


def _of_job(of_slot: frozenset[str]) -> Kind:
    if of_slot & _TRANSFER:
        return "file-transfer"
    if any(word in name for name in of_slot for word in _CONTAINER):
        return "container"
    if of_slot and all(name.startswith(_SYSTEM) for name in of_slot):
        return "system"
    return "requirements"


def _number(slot: Mapping[str, Any], name: str) -> float:
    value = slot.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
