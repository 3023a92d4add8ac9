"""The answer: what to change first for a job to run on some workers, and what else. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bakery.status.texts import counted, duration, named, printable
from bakery.status.why import explain, job_ads, resources
from bakery.status.why.findings import Finding, Scope
from bakery.status.why.job_ads import Job
from bakery.status.why.obstacles import Assessment, Obstacle

_ON_ACCESS_POINT = {7: "scheduler", 12: "local"}  # JobUniverse
_GRID = 9
# Of obstacles that exclude equally many workers, first what the job's owner can change.
_LAST = ("start-false", "start-error", "retiring", "draining", "unhealthy", "owner", "silent")


@dataclass(frozen=True)
class Pool:
    """What the collector at `host` has: the version of a negotiator ("": it has none), and access points.

    `access_point` is that of the job ("": unknown). `workers` describes the selected workers, `similar` is
    a question for their name.
    """

    host: str
    workers: str
    negotiator: str
    access_points: tuple[str, ...]
    access_point: str = ""
    similar: str = ""


@dataclass(frozen=True)
class Case:
    """A job, the workers assessed for it, their pool, and the time in seconds since 1970."""

    job: Job
    workers: tuple[Assessment, ...]
    pool: Pool
    now: float


@dataclass(frozen=True)
class Row:
    """An obstacle and the workers that have it; `lasting` is false for what other jobs occupy."""

    obstacle: Obstacle
    workers: tuple[Assessment, ...]
    lasting: bool = True


@dataclass(frozen=True)
class Verdict:
    """The findings, what to change first at the beginning, and the obstacles of all workers."""

    findings: tuple[Finding, ...]
    rows: tuple[Row, ...]


def of(case: Case) -> Verdict:
    """Judge a job. There is at least one finding."""
    found = list(_of_job(case))
    rows = _rows(case.workers) if case.job.is_in_queue else ()
    if not found:
        found = [*_of_pool(case), *_of_workers(case, rows)]
    return Verdict(tuple(found), rows)


# --- the job and the pool ----------------------------------------------------------------------


def _of_job(case: Case) -> Iterator[Finding]:
    """A job that does not wait for a worker."""
    job, status = case.job, case.job.status
    if status in (job_ads.RUNNING, job_ads.TRANSFERRING, job_ads.SUSPENDED):
        yield _started(case)
    elif status == job_ads.HELD:
        reason = printable(job.text("HoldReason")).rstrip(".") or "no reason is given"
        yield Finding(
            "held",
            f"The job is held: {reason}.",
            "Correct the cause, then release the job.",
            ("condor_release", job.id),
        )
    elif status == job_ads.REMOVED:
        reason = printable(job.text("RemoveReason")).rstrip(".") or "no reason is given"
        yield Finding("removed", f"The job was removed: {reason}.", "Submit it again.")
    elif status == job_ads.COMPLETED:
        code = job.number("ExitCode")
        ended = "" if code is None else f" with exit code {code}"
        yield Finding("completed", f"The job has completed{ended}.", "")
    elif universe := _ON_ACCESS_POINT.get(job.number("JobUniverse") or 0):
        text = f"The job is of the universe {universe}: it runs on its access point, not on a worker."
        yield Finding("universe", text, "Submit it with universe = vanilla.")
    elif job.number("JobUniverse") == _GRID:
        text = "The job is of the universe grid: another system runs it, not a worker of this pool."
        yield Finding("universe", text, "Submit it with universe = vanilla.")


def _started(case: Case) -> Finding:
    job, state = case.job, job_ads.STATES[case.job.status]
    host = job.text("RemoteHost")
    since = job.number("JobCurrentStartDate") or job.number("EnteredCurrentStatus")
    lasts = f" (for {duration(max(0.0, case.now - since))})" if since else ""
    where = f" on {printable(host, 60)}" if host else ""
    ours = {one.worker.name for one in case.workers}
    other = (
        "" if not host or host.partition("@")[2] in ours else f", which is not one of {case.pool.workers}"
    )
    reason = "running" if job.status == job_ads.RUNNING else state.partition(" ")[0]
    return Finding(reason, f"The job is {state}{where}{lasts}{other}.")


def _of_pool(case: Case) -> Iterator[Finding]:
    pool = case.pool
    if not pool.negotiator:
        text = f"{pool.host} has no negotiator, so no job of the pool is matched with a worker."
        yield Finding("no-negotiator", text, "Start condor_negotiator on the central manager.")
    if pool.access_point and pool.access_point not in pool.access_points:
        known = f" It knows {named(pool.access_points)}." if pool.access_points else " It knows none."
        yield Finding(
            "not-in-pool",
            f"{pool.host} knows no access point {printable(pool.access_point, 60)}: its negotiator never "
            f"considers the job.{known}",
            "Submit the job on an access point of this pool, or let its access point flock to this pool "
            "(FLOCK_TO).",
        )


# --- the workers -------------------------------------------------------------------------------


def _of_workers(case: Case, rows: Sequence[Row]) -> Iterator[Finding]:
    if not case.workers:
        text = f"{case.pool.host} has no worker with {case.pool.workers}. {case.pool.similar}"
        yield Finding("no-workers", text.strip(), "Start workers, or correct the name.")
    elif accepting := [one for one in case.workers if one.accepts]:
        yield _accepted(case, accepting)
    elif waiting := [one for one in case.workers if not one.obstacles]:
        of_these = [row for row in rows if not row.lasting]
        yield resources.lacking([_scope(case, row, waiting) for row in of_these])
    else:
        yield from _excluded(case, rows)


def _excluded(case: Case, rows: Sequence[Row]) -> Iterator[Finding]:
    """First that obstacle of the nearest workers that excludes most workers, then what remains there."""
    least = min(one.distance[0] for one in case.workers)
    nearest = [one for one in case.workers if one.distance[0] == least]
    by_key = {row.obstacle.key: row for row in rows if row.lasting}
    first = min((by_key[found.key] for one in nearest for found in one.obstacles), key=_order)
    key = first.obstacle.key
    one = next(one for one in nearest if key in {found.key for found in one.obstacles})
    others = sorted((by_key[found.key] for found in one.obstacles if found.key != key), key=_order)
    yield from (explain.of(_scope(case, row, nearest)) for row in (first, *others))


def _order(row: Row) -> tuple[int, int]:
    kind = row.obstacle.kind
    return -len(row.workers), _LAST.index(kind) + 1 if kind in _LAST else 0


def _scope(case: Case, row: Row, nearest: Sequence[Assessment]) -> Scope:
    near = tuple(one for one in row.workers if one in nearest)
    return Scope(case.job, row.obstacle, row.workers, near or row.workers, case.now)


def _rows(workers: Sequence[Assessment]) -> tuple[Row, ...]:
    """The obstacles that exclude most workers first, then what other jobs occupy."""
    found: dict[tuple[object, ...], Row] = {}
    for one in workers:
        each = [(obstacle, True) for obstacle in one.obstacles]
        if not one.obstacles:
            each = [(obstacle, False) for obstacle in one.lacking]
        for obstacle, lasting in each:
            key = (lasting, *obstacle.key)
            before = found[key].workers if key in found else ()
            first = found[key].obstacle if key in found else obstacle
            found[key] = Row(first, (*before, one), lasting)
    return tuple(sorted(found.values(), key=lambda row: (not row.lasting, *_order(row))))


def _accepted(case: Case, accepting: Sequence[Assessment]) -> Finding:
    """Nothing that an ad has keeps the job from a worker: say what the negotiator did."""
    job = case.job
    names = named([one.worker.name for one in accepting])
    verb = "accepts" if len(accepting) == 1 else "accept"
    fits = f"{names} {verb} the job now"
    rejected, matched = job.number("LastRejMatchTime"), job.number("LastMatchTime")
    starts = job.number("NumShadowStarts") or job.number("NumJobStarts") or 0
    if starts:
        last = job.text("LastRemoteHost")
        where = f", the last time on {printable(last, 60)}" if last else ""
        text = f"{fits}. It was started {counted(starts, 'time')}{where}, and is idle again."
        return Finding("restarts", text, "The job's log and the log of its worker have the reason.")
    if not rejected and not matched:
        queued = job.number("QDate")
        when = f"; it was submitted {duration(max(0.0, case.now - queued))} ago" if queued else ""
        text = f"{fits}, but the negotiator has not considered it yet{when}."
        return Finding("not-considered", text, "Wait for the next negotiation cycle.")
    if matched and matched >= (rejected or 0):
        text = f"{fits}, and the negotiator matched it {duration(max(0.0, case.now - matched))} ago."
        return Finding("matched", text, "Wait until its access point starts it.")
    reason = printable(job.text("LastRejMatchReason")).strip() or "no reason is given"
    ago = duration(max(0.0, case.now - (rejected or 0)))
    text = f"{fits}, but the negotiator rejected it {ago} ago: {reason}."
    return Finding(
        "rejected",
        text,
        "Wait for the next negotiation cycle. If it is rejected again, ask the pool's administrators about "
        "what is not judged here.",
    )


def summary(workers: Sequence[Assessment]) -> str:
    """Return one sentence for all workers."""
    kinds = Counter(
        "accept" if one.accepts else "occupied" if not one.obstacles else "exclude" for one in workers
    )
    return (
        f"{counted(len(workers), 'worker')}: {kinds['accept']} free for the job, {kinds['occupied']} "
        f"occupied by other jobs, {kinds['exclude']} excluded."
    )
