"""Findings: what keeps a job from workers, in words, and what to change. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from bakery.status.texts import named, printable
from bakery.status.why.clauses import Clause
from bakery.status.why.job_ads import Job
from bakery.status.why.obstacles import Assessment, Obstacle


@dataclass(frozen=True)
class Finding:
    """An answer: `text` is why, `change` what to do; `command` is an argv that does it, or ()."""

    reason: str
    text: str
    change: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """An obstacle, the workers that have it, those of them that are nearest to accepting, and the time."""

    job: Job
    obstacle: Obstacle
    workers: tuple[Assessment, ...]
    nearest: tuple[Assessment, ...]
    now: float

    @property
    def names(self) -> str:
        return named([one.worker.name for one in self.workers])

    @property
    def clause(self) -> Clause:
        return self.obstacle.clauses[0]

    @property
    def text(self) -> str:
        return printable(self.clause.text)

    def values(self, name: str) -> list[str]:
        """Return the values of an attribute of these workers, each once."""
        clauses = [
            clause
            for one in self.workers
            for obstacle in one.obstacles
            if obstacle.key == self.obstacle.key
            for clause in obstacle.clauses
        ]
        return list(dict.fromkeys(value for one in clauses if (value := one.value("worker", name))))

    def verb(self, singular: str, plural: str) -> str:
        """Return the names of the workers and a verb."""
        return f"{self.names} {singular if len(self.workers) == 1 else plural}"
