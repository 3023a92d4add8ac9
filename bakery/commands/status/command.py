"""worker-bakery status: show the workers of a group in their pool, and wait until they have joined."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bakery.commands.command_line import columns, entry, settings, terminal
from bakery.commands.command_line.parser import Parser, add_general, completed, positive_number
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from bakery.status.ask import Question
    from bakery.status.selection import Selection
    from bakery.status.workers import Ad, Worker
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
            "%(prog)s --pool cm.example.edu --cloud c1 --region r1",
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
    from bakery.tokens import creation
    from provisioner.errors import BadInput

    if options.csv and options.json:
        raise BadInput("--csv and --json exclude each other.", "Use one of them.")
    chosen = selection.of_options({name: getattr(options, name) for name in selection.ATTRIBUTES})
    limit = creation.parse_lifetime(options.timeout)
    hosts = hosts_to_ask(common.pool_of(options, settings.load()))
    token = token_of(options.token_file) if options.token_file else ""
    question, ads = _first_answer(options, hosts, token, chosen)
    _tell_command(options, question)
    if options.wait:
        ads, failed = _wait(options, question, ads, limit)
        _print(options, question, chosen, ads)
        if failed:
            raise failed
        return 0
    _print(options, question, chosen, ads)
    return 0


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
    options: argparse.Namespace, hosts: Sequence[str], token: str, chosen: Selection
) -> tuple[Question, list[Ad]]:
    """Ask the first central manager that answers. Raises Unreachable: none does; BadInput."""
    from bakery.status import ask, workers
    from provisioner.errors import Unreachable

    for host in hosts[:-1]:
        question = ask.Question(host, token, chosen.constraint)
        try:
            return question, ask.ask(question, workers.PROJECTION)
        except Unreachable as error:
            entry.warn(f"{error} Asking the next central manager.", as_json=options.json)
    question = ask.Question(hosts[-1], token, chosen.constraint)
    return question, ask.ask(question, workers.PROJECTION)


def _wait(
    options: argparse.Namespace, question: Question, ads: list[Ad], limit: int
) -> tuple[list[Ad], Unreachable | None]:
    """Ask again until enough workers have joined. Return the last ads, and the error if they are too few.

    A collector that stops answering may start again. Raises BadInput, as `ask` does.
    """
    from bakery.status import ask, workers
    from provisioner.errors import Unreachable

    end, problem, known = time.monotonic() + limit, "", -1
    while (joined := len(workers.workers_of(ads, time.time()))) < options.wait:
        if joined != known:
            note(options, f"{joined} of {options.wait} workers have joined.")
        known, remaining = joined, end - time.monotonic()
        if remaining <= 0:
            return ads, _too_few(options, question, ads, problem)
        time.sleep(min(_INTERVAL, remaining))
        try:
            ads, problem = ask.ask(question, workers.PROJECTION), ""
        except Unreachable as error:
            problem = f" The last query failed: {error}"
    return ads, None


def _too_few(options: argparse.Namespace, question: Question, ads: list[Ad], problem: str) -> Unreachable:
    """Return the error for a wait that has ended, with what the last ads say."""
    from bakery.status import report, workers
    from provisioner.errors import Unreachable

    found = workers.workers_of(ads, time.time())
    there = f" In the pool: {report.summary(found)}" if found else " The pool has no ad of such a worker."
    return Unreachable(
        f"{len(found)} of {options.wait} workers have joined {question.host} within {options.timeout}."
        f"{there}{problem}",
        "The console log of an instance has the last state of its worker, and the reason.",
    )


def _tell_command(options: argparse.Namespace, question: Question) -> None:
    argv = ["condor_status", "-pool", question.host, "-const", question.constraint]
    note(options, f"The same by HTCondor: {shlex.join(argv)}")


def note(options: argparse.Namespace, text: str) -> None:
    if not options.quiet and not options.json:
        print(f"note: {scrub(text)}", file=sys.stderr, flush=True)


def _print(options: argparse.Namespace, question: Question, chosen: Selection, ads: list[Ad]) -> None:
    from bakery.status import report, workers
    from bakery.status.texts import duration

    now = time.time()
    found = workers.workers_of(ads, now)
    if ahead := workers.clock_ahead(ads, now):
        text = f"The collector's clock is at least {duration(ahead)} ahead of the clock here."
        entry.warn(text, as_json=options.json)
    if options.json:
        about = {"collector": question.host, "constraint": question.constraint}
        print(json.dumps({**about, **report.as_json(found)}))
    elif options.csv:
        print(report.as_csv(found), end="")
    elif found:
        _print_table(found, now)
    else:
        print(scrub(_none(question, chosen)))


def _print_table(found: Sequence[Worker], now: float) -> None:
    from bakery.status import report

    width = terminal.width(terminal.STDOUT)
    for line in columns.table(report.rows(found, now, width), width):
        print(line)
    print()
    for line in (*report.remarks(found), report.summary(found)):
        print(columns.wrapped(line, width, 2))


def _none(question: Question, chosen: Selection) -> str:
    """Say that there is no worker, and which similar names the pool has."""
    text = f"{question.host} has no worker with {chosen}."
    return f"{text} {similar(question, chosen)}".strip()


def similar(question: Question, chosen: Selection) -> str:
    """Name similar workers of the pool, if it answers that."""
    from bakery.status import ask, selection
    from provisioner.errors import BakeryError

    try:
        names = [name for name, _ in chosen.wanted]
        others = ask.ask(ask.Question(question.host, question.token, chosen.candidates), names)
    except BakeryError:
        others = []
    return selection.suggestion(chosen, others)


if __name__ == "__main__":
    sys.exit(main())
