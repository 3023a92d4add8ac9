"""worker-bakery status: show the workers of a group in their pool, and wait until they have joined."""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import math
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakery.commands.command_line import columns, entry, settings, terminal
from bakery.commands.command_line.parser import Parser, add_general, completed, positive_number
from bakery.commands.status import queries, watch
from bakery.commands.status.queries import Answer, Failure, Recorder
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from bakery.status.ask import Question
    from bakery.status.selection import Selection
    from bakery.status.workers import Worker
    from provisioner.errors import Unreachable

_INTERVAL = 5.0  # seconds between two queries


def main(argv: Sequence[str] | None = None, prog: str = "worker-bakery status") -> int:
    return entry.run(lambda: run(parser(prog).parse_args(argv)), argv)


def parser(prog: str) -> Parser:
    made = Parser(
        prog,
        "Show the workers of a group in their pool: one row for each worker, remarks, and a summary. With "
        "--wait, the exit code is 0 when enough workers have joined, and 5 if they have not in time.",
        examples=(
            "%(prog)s --pool cm.example.edu --group 'My workers'",
            "%(prog)s --group 'My workers' --wait 3 --timeout 20m",
            "%(prog)s --group 'My workers' --watch 10 --record workers.jsonl",
        ),
    )
    add_pool(made)
    add_selection(made)
    made.add_argument(
        "--wait", type=positive_number, metavar="N", help="wait until N workers have joined the pool"
    )
    made.add_argument(
        "--timeout",
        default="20m",
        metavar="TIME",
        help="limit of --wait: 90s, 20m, 2h (default: %(default)s)",
    )
    made.add_argument(
        "--watch",
        type=positive_number,
        nargs="?",
        const=_INTERVAL,
        metavar="SECONDS",
        help=f"query every SECONDS (default: {_INTERVAL:g}) and redraw the table until Ctrl-C; in a pipe "
        "or a file, print it at each change",
    )
    recorded = made.add_argument(
        "--record", type=Path, metavar="FILE", help="append a JSON line to FILE for each query; see plot"
    )
    completed(recorded, "file")
    made.add_argument("--csv", action="store_true", help="print the workers as CSV")
    add_general(made)
    return made


def add_pool(made: Parser) -> None:
    pool = made.add_argument(
        "--pool", metavar="NAME|HOST", help="pool to ask (default: that of the configuration file)"
    )
    completed(pool, "pools")
    given = made.add_argument(
        "--token-file", metavar="FILE", help="token for READ, if the pool requires one; - is standard input"
    )
    completed(given, "file")


def add_selection(made: Parser) -> None:
    group = made.add_argument_group("workers")
    group.add_argument("--group", metavar="NAME", help="WorkerGroupName of the workers")
    group.add_argument("--cloud", metavar="NAME", help="cloud of workers of PROMINENCE")
    group.add_argument("--region", metavar="NAME", help="region of workers of PROMINENCE")
    group.add_argument("--node-group", metavar="NAME", help="node group of workers of PROMINENCE")


def run(options: argparse.Namespace) -> int:
    from bakery.commands.token import common
    from bakery.status import selection
    from bakery.tokens import collectors, creation

    _check_outputs(options)
    chosen = selection.of_options({name: getattr(options, name) for name in selection.ATTRIBUTES})
    limit = creation.parse_lifetime(options.timeout)
    hosts = hosts_to_ask(common.pool_of(options, settings.load()))
    token = token_of(options.token_file) if options.token_file else ""
    every = options.watch or (_INTERVAL if options.wait else None)
    recorder = Recorder(options.record, chosen.constraint, every)
    recorder.check()
    asked, first = _first_answer(options, hosts, token, chosen, recorder)
    _tell_command(options, asked[0])
    if old := collectors.old_text(first.version):
        entry.warn(old, as_json=options.json)
    if options.watch:
        return _watch(options, asked, chosen, first, recorder, limit)
    last, failed = _wait(options, asked, first, recorder, limit) if options.wait else (first, None)
    _print(options, asked[0], chosen, last)
    if failed:
        raise failed
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    """Raise BadInput if options of the output exclude each other."""
    from provisioner.errors import BadInput

    if options.csv and options.json:
        raise BadInput("--csv and --json exclude each other.", "Use one of them.")
    if options.csv and options.watch:
        raise BadInput("--csv and --watch exclude each other.", "Use --json or --record FILE.")


def token_of(name: str) -> str:
    """Return the first token of a file that can be sent to a collector. Raises BadInput: there is none."""
    from bakery.commands.token import check, common
    from bakery.tokens import token_file
    from provisioner.errors import BadInput

    judged = token_file.judge(common.read(name).lines, trust_domain="", now=time.time())
    if sendable := [one for one in judged if not check.unsendable(one)]:
        return sendable[0].line.token
    raise BadInput(str(check.unsendable(judged[0])[0]))


def hosts_to_ask(pool: str) -> tuple[str, ...]:
    """Return the collectors to ask, in order. Raises BadInput."""
    from bakery.commands.token import common
    from bakery.userdata import pools

    hosts, _ = common.hosts_of(pool)
    found = pools.find(pool)
    return tuple(dict.fromkeys((found.query_host, *hosts))) if found else hosts


def _first_answer(
    options: argparse.Namespace, hosts: Sequence[str], token: str, chosen: Selection, recorder: Recorder
) -> tuple[tuple[Question, ...], Answer]:
    """Ask the first central manager that answers; return the question to it first, and its answer.

    Raises Unreachable: none does; BadInput.
    """
    from bakery.status.ask import Question
    from provisioner.errors import Unreachable

    asked = [Question(host, token, chosen.constraint) for host in hosts]
    for place, question in enumerate(asked, 1):
        try:
            found = queries.ask(question)
        except Unreachable as error:
            if place == len(asked):
                recorder.failed(str(error))
                raise
            entry.warn(f"{error} Asking the next central manager.", as_json=options.json)
        else:
            recorder.answered(found.workers, found.time)
            return (question, *asked[place:], *asked[: place - 1]), found
    raise AssertionError("a pool has a central manager")


def _wait(
    options: argparse.Namespace, asked: Sequence[Question], last: Answer, recorder: Recorder, limit: int
) -> tuple[Answer, Unreachable | None]:
    """Ask again until enough workers have joined. Return the last answer, and the error if too few have.

    A collector that stops answering may start again.
    """
    problem = ""
    known = _tell_joined(options, last, -1)
    if known >= options.wait:
        return last, None
    for found in queries.repeated(asked, recorder, _INTERVAL, limit):
        if isinstance(found, Failure):
            problem = found.reason
            continue
        last, problem = found, ""
        known = _tell_joined(options, last, known)
        if known >= options.wait:
            return last, None
    return last, _too_few(options, asked[0], last, problem)


def _watch(
    options: argparse.Namespace,
    asked: Sequence[Question],
    chosen: Selection,
    first: Answer,
    recorder: Recorder,
    limit: int,
) -> int:
    """Show the workers until a signal, or until enough have joined; return the exit code.

    The table stays on the terminal. Raises Unreachable: too few have joined in time.
    """
    seconds = limit if options.wait else math.inf
    answers = itertools.chain((first,), queries.repeated(asked, recorder, options.watch, seconds))
    is_live = watch.is_live() and not options.json
    printed = functools.partial(_print, options, asked[0], chosen)
    with contextlib.ExitStack() as stack:
        if is_live:
            view = watch.empty(f"{asked[0].host}: {chosen}", options.watch)
            show = stack.enter_context(watch.live(view))
        else:
            show = watch.stream(printed, as_json=options.json)
        end = watch.follow(answers, show, first, options.wait)
    if is_live and (end.last.workers or not end.problem):
        printed(end.last)
    if options.wait and not end.code and len(end.last.workers) < options.wait:
        raise _too_few(options, asked[0], end.last, end.problem)
    if end.problem:
        entry.warn(watch.away_text(end.last, end.problem), as_json=options.json)
    return end.code


def _tell_joined(options: argparse.Namespace, found: Answer, known: int) -> int:
    joined = len(found.workers)
    if known != joined < options.wait:
        note(options, f"{joined} of {options.wait} workers have joined.")
    return joined


def _too_few(options: argparse.Namespace, question: Question, last: Answer, problem: str) -> Unreachable:
    """Return the error for a wait that has ended, with what the last answer says."""
    from bakery.status import report
    from provisioner.errors import Unreachable

    found = last.workers
    there = f" In the pool: {report.summary(found)}" if found else " The pool has no ad of such a worker."
    failed = f" The last query failed: {problem}" if problem else ""
    return Unreachable(
        f"{len(found)} of {options.wait} workers have joined {question.host} within {options.timeout}."
        f"{there}{failed}",
        "The console log of an instance has the last state of its worker, and the reason.",
    )


def _tell_command(options: argparse.Namespace, question: Question) -> None:
    argv = ["condor_status", "-pool", question.host, "-const", question.constraint]
    note(options, f"The same by HTCondor: {shlex.join(argv)}")


def note(options: argparse.Namespace, text: str) -> None:
    if not options.quiet and not options.json:
        print(f"note: {scrub(text)}", file=sys.stderr, flush=True)


def _print(options: argparse.Namespace, question: Question, chosen: Selection, found: Answer) -> None:
    from bakery.status import report

    if found.ahead:
        entry.warn(watch.clock_text(found.ahead), as_json=options.json)
    if options.json:
        about = {
            "time": round(found.time, 1),
            "collector": question.host,
            "constraint": question.constraint,
        }
        print(json.dumps({**about, **report.as_json(found.workers)}))
    elif options.csv:
        print(report.as_csv(found.workers), end="")
    elif found.workers:
        _print_table(found.workers, found.time)
    else:
        print(scrub(_none(question, chosen)))


def _print_table(found: Sequence[Worker], now: float) -> None:
    from bakery.status import report

    width = terminal.width(terminal.STDOUT)
    for line in columns.table(report.rows(found, now, width), width):
        print(line)
    print()
    for line in (*report.remarks(found, now), report.summary(found)):
        print(columns.wrapped(line, width, 2))


def _none(question: Question, chosen: Selection) -> str:
    """Say that there is no worker, and which similar names the pool has."""
    text = f"{question.host} has no worker with {chosen}."
    return f"{text} {similar(question, chosen)}".strip()


def similar(question: Question, chosen: Selection) -> str:
    """Name similar workers of the pool, if it answers that."""
    from bakery.status import ask, selection, workers
    from provisioner.errors import BakeryError, Interrupted

    others: list[workers.Ad] = []
    names = [name for name, _ in chosen.wanted]
    try:
        ask.ask(
            ask.Question(question.host, question.token, chosen.candidates),
            names,
            lambda ads, _: others.extend(ads),
        )
    except Interrupted:
        raise
    except BakeryError:
        others = []
    return selection.suggestion(chosen, others)


if __name__ == "__main__":
    sys.exit(main())
