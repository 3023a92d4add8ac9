"""Query a pool for a job and its workers, and say in words why there is no answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakery.status import ask, workers
from bakery.status.ask import Question
from bakery.status.texts import named, printable
from bakery.status.why.ads import Data
from bakery.status.why.job_ads import JobId
from bakery.status.workers import Ad
from provisioner import did_you_mean
from provisioner.errors import BadInput, BakeryError, Unreachable

PROJECTION = (*workers.PROJECTION, "Requirements", "Disk", "TotalSlotDisk")
_BY_FILE = "Or write the job's ad to a file (condor_q -l JOB > FILE), and use --job-ad FILE."


@dataclass(frozen=True)
class Wanted:
    """A job in the queue of an access point ("": the only one, or this host), or its ad."""

    job: JobId | None = None
    schedd: str = ""
    ad: Data | None = None


@dataclass(frozen=True)
class Answer:
    """The ad of the job, those of the slots, and what else the pool has.

    `states` counts the jobs of the cluster by JobStatus; `schedd` is "" if none was asked.
    """

    job: Data
    states: Mapping[str, int]
    schedd: str
    slots: Sequence[Ad]
    negotiator: str
    access_points: tuple[str, ...]


def ask_pool(question: Question, wanted: Wanted) -> Answer:
    """Ask for the job and the slots. Raises BadInput, Unreachable."""
    more = {
        "projection": list(PROJECTION),
        "schedd": wanted.schedd or None,
        "here": socket.gethostname(),
        "job": [wanted.job.cluster, wanted.job.proc] if wanted.job else None,
        "ad": wanted.ad,
    }
    answer, log = ask.answer_of(question, "bakery.status.why.ask_pool", more)
    if "failed" in answer:
        raise error_of(question, wanted, answer, log)
    return Answer(
        answer["job"],
        answer.get("states", {}),
        answer.get("schedd", ""),
        answer["slots"],
        answer["negotiator"],
        tuple(answer["access_points"]),
    )


def error_of(question: Question, wanted: Wanted, answer: Mapping[str, Any], log: str) -> BakeryError:
    """Return the error for a query that failed."""
    failed, names = answer["failed"], [str(name) for name in answer.get("names", ())]
    shown = named(names)
    if failed == "job":
        hint = "Check the id, or choose another access point with --schedd NAME."
        return BadInput(f"The queue and the history of {shown} have no job {wanted.job}.", hint)
    if failed == "schedd":
        return Unreachable(f"The access point {shown} does not answer, or denies the query.", _BY_FILE)
    if failed == "schedds":
        return _no_schedd(question, wanted, names)
    return ask.error_of(question, failed, log, time.time())


def _no_schedd(question: Question, wanted: Wanted, names: Sequence[str]) -> BadInput:
    if not names:
        return BadInput(f"{question.host} knows no access point.", _BY_FILE)
    if not wanted.schedd:
        text = f"{question.host} knows several access points: {named(names)}."
        return BadInput(text, "Choose that of the job with --schedd NAME.")
    asked = did_you_mean.did_you_mean(wanted.schedd, [name for name in names if name.isprintable()])
    known = asked or f"It knows {named(names)}."
    text = f"{question.host} knows no access point {printable(wanted.schedd, 60)}. {known}"
    return BadInput(text, f"Its negotiator considers jobs of access points that it knows. {_BY_FILE}")
