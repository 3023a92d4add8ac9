"""Query the collector once or again and again, and append each query to the record of --record."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import BakeryError, Interrupted
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from bakery.status.ask import Question
    from bakery.status.workers import Worker


@dataclass(frozen=True)
class Answer:
    """The workers at a time, in seconds since 1970.

    The collector's clock is `ahead` of ours by so many seconds, behind if negative; 0 for up to a minute.
    `version` is that of its HTCondor as $CondorVersion: …$, or "".
    """

    workers: tuple[Worker, ...]
    time: float
    ahead: int
    version: str = ""


@dataclass(frozen=True)
class Failure:
    """There was no answer, for this reason."""

    reason: str


def ask(question: Question) -> Answer:
    """Query the collector. Raises BadInput, Unreachable."""
    from bakery.status import ask, workers
    from bakery.tokens import collectors

    found: list[Worker] = []

    def take(ads: list[workers.Ad], collector: ask.Collector) -> None:
        # The workers' last updates are by the collector's clock.
        found.extend(workers.workers_of(ads, time.time() + (collector.ahead or 0)))

    collector = ask.ask(question, workers.PROJECTION, take, workers.OF_DYNAMIC_SLOTS)
    ahead = collectors.clock_differs(collector.ahead)
    return Answer(workers.in_order(found), time.time(), ahead, collector.version)


@dataclass(frozen=True)
class Recorder:
    """Appends to a file (None: does nothing). `every` is the time between two queries (None: one query)."""

    path: Path | None
    of: str
    every: float | None

    def check(self) -> None:
        """Raise BadInput if the file is no record, or that of other workers; DiskFull."""
        if self.path:
            from bakery.status import record_file

            record_file.check(self.path, self.of)

    def answered(self, workers: Sequence[Worker], now: float) -> None:
        """Append an answer. Raises BadInput, DiskFull."""
        if self.path:
            from bakery.status import record, record_file

            record_file.append(self.path, record.answered(workers, self.of, now, self.every))

    def failed(self, reason: str) -> None:
        """Append that there was no answer. Raises BadInput, DiskFull."""
        if self.path:
            from bakery.status import record, record_file

            record_file.append(self.path, record.failed(reason, self.of, time.time(), self.every))


def repeated(
    questions: Sequence[Question], recorder: Recorder, every: float, seconds: float
) -> Iterator[Answer | Failure]:
    """Wait `every` seconds, query, and yield the answer, until `seconds` are over.

    A collector that has answered before may be away for a while: the next query goes to the next one of
    `questions`. Raises DiskFull and BadInput of the record.
    """
    started = time.monotonic()
    end, number = started + seconds, 0
    while (now := time.monotonic()) < end:
        time.sleep(min(max(0.0, started + every - now), end - now))
        started = time.monotonic()
        found = _asked(questions[number % len(questions)])
        if isinstance(found, Answer):
            recorder.answered(found.workers, found.time)
        else:
            number += 1
            recorder.failed(found.reason)
        yield found


def _asked(question: Question) -> Answer | Failure:
    try:
        return ask(question)
    except Interrupted:
        raise
    except BakeryError as error:
        return Failure(scrub(str(error)))
