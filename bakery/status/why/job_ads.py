"""Jobs: their ids, their ads as condor_q -l prints them, and what an ad says about the job. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bakery.status.why import ads
from bakery.userdata.matchmaking import matching
from provisioner.errors import BadInput

if TYPE_CHECKING:
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING, SUSPENDED = range(1, 8)  # JobStatus
STATES = {
    IDLE: "idle", RUNNING: "running", REMOVED: "removed", COMPLETED: "completed", HELD: "held",
    TRANSFERRING: "transferring its output", SUSPENDED: "suspended",
}  # fmt: skip
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class JobId:
    """CLUSTER.PROC; `proc` is None for any job of the cluster."""

    cluster: int
    proc: int | None = None

    def __str__(self) -> str:
        return f"{self.cluster}" if self.proc is None else f"{self.cluster}.{self.proc}"


def parse_id(text: str) -> JobId:
    """Parse CLUSTER or CLUSTER.PROC. Raises BadInput."""
    found = re.fullmatch(r"([0-9]{1,10})(?:\.([0-9]{1,10}))?", text)
    if not found or int(found[1]) > _LARGEST or int(found[2] or 0) > _LARGEST or not int(found[1]):
        raise BadInput("JOB is not the id of a job.", "Use CLUSTER or CLUSTER.PROC, for example 1234.0.")
    return JobId(int(found[1]), None if found[2] is None else int(found[2]))


def parse(text: str) -> list[dict[str, Any]]:
    """Parse the output of condor_q -l: ads of lines `Name = expression`, separated by empty lines.

    Raises BadInput: a line is not an attribute.
    """
    found: list[dict[str, Any]] = [{}]
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("--"):  # condor_q prints the name of the schedd as `-- …`
            found.append({})
        else:
            found[-1].update(_attribute(number, line))
    return [ad for ad in found if ad]


def _attribute(number: int, line: str) -> dict[str, Any]:
    classad = matching.library()
    name, _, text = line.partition("=")
    try:  # the parser drops some tails, but not with brackets
        made, again = (classad.parseOne(one, classad.Parser.Old) for one in (line, f"{name} = ({text})"))
    except (classad.ClassAdException, ValueError):
        made = again = {}
    if len(made) != 1 or len(again) != 1:
        raise BadInput(
            f"Line {number} of the job's ad is not an attribute (Name = expression).",
            "Write the file with condor_q -l JOB > FILE.",
        )
    return ads.encoded(classad, made)


def choose(found: Sequence[Mapping[str, Any]], wanted: JobId | None) -> Mapping[str, Any]:
    """Return the ad of the job, of several the first idle one. Raises BadInput: there is none."""
    jobs = [Job(ad) for ad in found]
    if not jobs:
        raise BadInput("The file has no ad of a job.", "Write it with condor_q -l JOB > FILE.")
    fitting = [job for job in jobs if not wanted or job.is_one_of(wanted)]
    if not fitting:
        raise BadInput(
            f"The file has no ad of the job {wanted}.", f"It has: {', '.join(map(str, _ids(jobs)))}."
        )
    return min(fitting, key=lambda job: job.status != IDLE).data


def _ids(jobs: Iterable[Job]) -> Iterator[str]:
    """The first ids, and how many there are."""
    ids = [job.id for job in jobs]
    yield from ids[:5]
    if len(ids) > 5:
        yield f"{len(ids) - 5} others"


@dataclass(frozen=True)
class Job:
    """The ad of a job; times are in seconds since 1970."""

    data: Mapping[str, Any]

    @cached_property
    def ad(self) -> classad2.ClassAd:
        return ads.decoded(self.data)

    @property
    def id(self) -> str:
        return f"{self.number('ClusterId') or 0}.{self.number('ProcId') or 0}"

    @property
    def status(self) -> int:
        """JobStatus; IDLE for an ad without one, which was not taken from a queue."""
        return self.number("JobStatus") or IDLE

    @property
    def is_in_queue(self) -> bool:
        """Whether it waits for a worker, or will after it is released."""
        return self.status not in (RUNNING, TRANSFERRING, SUSPENDED, REMOVED, COMPLETED)

    @property
    def access_point(self) -> str:
        """The name of its schedd; "" if unknown. GlobalJobId is SCHEDD#CLUSTER.PROC#TIME."""
        return self.text("GlobalJobId").rpartition("#")[0].rpartition("#")[0]

    def is_one_of(self, wanted: JobId) -> bool:
        is_it = wanted.proc in (None, self.number("ProcId") or 0)
        return is_it and wanted.cluster == self.number("ClusterId")

    def text(self, name: str) -> str:
        value = self._value(name)
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int | None:
        value = self._value(name)
        return int(value) if ads.is_number(value) and abs(value) < 2**53 else None

    def _value(self, name: str) -> Any:
        return ads.value(name, self.ad, self.ad)
