"""worker-bakery status why: why a job does not run on the workers of a group, and what to change first."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line import columns, entry, terminal
from bakery.commands.command_line.parser import Parser, completed
from bakery.commands.command_line.settings import Settings
from bakery.commands.status import command
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from bakery.status.ask import Question
    from bakery.status.selection import Selection
    from bakery.status.why.query import Answer, Wanted
    from bakery.status.why.verdict import Case

SUMMARY = "explain why a job does not run on the workers"
USAGE = "JOB [options]"
DESCRIPTION = (
    "Explain why a job does not run on the workers of a group, and name the first thing to change. "
    "HTCondor's own library evaluates each condition of the job's Requirements for each worker, and each "
    "condition of the worker's Start for the job. The job is in the queue of an access point of the pool, "
    "or its ad is in a file."
)
EXAMPLES = (
    "%(prog)s 1234.0 --pool cm.example.edu --group 'My workers'",
    "%(prog)s 1234 --schedd ap.example.edu --group 'My workers'",
    "%(prog)s --job-ad job.ad --pool cm.example.edu --cloud c1",
)
_LARGEST_AD = 64 * 1024 * 1024  # bytes of the output of condor_q -l


def add_options(made: Parser) -> None:
    made.add_argument("job", nargs="?", metavar="JOB", help="id of the job: CLUSTER.PROC or CLUSTER")
    made.add_argument("--schedd", metavar="NAME", help="access point that has the job in its queue")
    completed(
        made.add_argument(
            "--job-ad", metavar="FILE", help="ad of the job, from condor_q -l JOB; - is standard input"
        ),
        "file",
    )
    command.add_pool(made)
    command.add_selection(made)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.commands.token import common
    from bakery.status import selection
    from provisioner.errors import BadInput

    if options.job_ad and options.schedd:
        raise BadInput("--job-ad and --schedd exclude each other.", "Use one of them.")
    if options.job_ad == options.token_file == "-":
        raise BadInput(
            "Standard input cannot be both --job-ad and --token-file.", "Use a file for one of them."
        )
    chosen = selection.of_options({name: getattr(options, name) for name in selection.ATTRIBUTES})
    wanted = _wanted(options)
    hosts = command.hosts_to_ask(common.pool_of(options, settings))
    token = command.token_of(options.token_file) if options.token_file else ""
    question, answer = _first_answer(options, hosts, token, chosen, wanted)
    _tell_others(options, answer)
    _print(options, question, chosen, _case(question, chosen, answer))
    return 0


def _wanted(options: argparse.Namespace) -> Wanted:
    """Return the job to ask about. Raises BadInput: none is named."""
    from bakery.runtime import files
    from bakery.status.why import job_ads
    from bakery.status.why.query import Wanted
    from provisioner.errors import BadInput

    job = None if options.job is None else job_ads.parse_id(options.job)
    if not options.job_ad:
        if not job:
            raise BadInput("A job is required.", "Give the id of the job, or --job-ad FILE.")
        return Wanted(job, options.schedd or "")
    name = options.job_ad
    data = files.read_stdin(_LARGEST_AD) if name == "-" else files.read_limited(Path(name), _LARGEST_AD)
    return Wanted(job, ad=job_ads.choose(job_ads.parse(data.decode("utf-8", "replace")), job))


def _first_answer(
    options: argparse.Namespace, hosts: Sequence[str], token: str, chosen: Selection, wanted: Wanted
) -> tuple[Question, Answer]:
    """Ask the first central manager that answers. Raises Unreachable: none does; BadInput."""
    from bakery.status import ask
    from bakery.status.why import query
    from provisioner.errors import Unreachable

    for host in hosts[:-1]:
        question = ask.Question(host, token, chosen.constraint)
        try:
            return question, query.ask_pool(question, wanted)
        except Unreachable as error:
            entry.warn(f"{error} Asking the next central manager.", as_json=options.json)
    question = ask.Question(hosts[-1], token, chosen.constraint)
    return question, query.ask_pool(question, wanted)


def _tell_others(options: argparse.Namespace, answer: Answer) -> None:
    """A cluster can have many jobs, of which one is explained."""
    from bakery.status.texts import counted
    from bakery.status.why import job_ads

    if sum(answer.states.values()) > 1:
        number = counted(sum(answer.states.values()), "job")
        states = ", ".join(
            f"{count} {job_ads.STATES.get(int(status), status)}" for status, count in answer.states.items()
        )
        chosen = job_ads.Job(answer.job).id
        command.note(options, f"The cluster has {number} ({states}). This is about {chosen}.")


def _case(question: Question, chosen: Selection, answer: Answer) -> Case:
    from bakery.status.why import obstacles, verdict
    from bakery.status.why.job_ads import Job

    now, job = time.time(), Job(answer.job)
    pool = verdict.Pool(
        question.host,
        str(chosen),
        answer.negotiator,
        answer.access_points,
        answer.schedd or job.access_point,
        "" if answer.slots else command.similar(question, chosen),
    )
    return verdict.Case(job, obstacles.assess(job.ad, answer.slots, now), pool, now)


def _print(options: argparse.Namespace, question: Question, chosen: Selection, case: Case) -> None:
    from bakery.status.why import report, verdict

    found = verdict.of(case)
    if options.json:
        print(json.dumps(report.as_json(case, found, question.constraint)))
        return
    width = terminal.width(terminal.STDOUT)
    lines: list[str] = [report.title(case), *report.answer(found)]
    for line in lines:
        print(columns.wrapped(scrub(line), width, len(line) - len(line.lstrip()) + 2))
    if not case.workers or not case.job.is_in_queue:
        return
    if found.rows:
        print()
        for line in columns.table(report.table(found, len(case.workers)), width):
            print(line)
    print()
    print(columns.wrapped(verdict.summary(case.workers), width, 2))
    print(columns.wrapped(f"Not judged: {', '.join(report.not_judged(case))}.", width, 2))
