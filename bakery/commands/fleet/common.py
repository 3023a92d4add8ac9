"""What the subcommands of fleet share: the cloud, the choice of servers, rates and output."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakery.commands.command_line import columns, terminal
from bakery.commands.command_line.parser import Parser, completed
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from bakery.fleet.api import Api
    from bakery.fleet.rates import Rates
    from bakery.fleet.reaping import Verdict
    from bakery.fleet.states import Member
    from bakery.openstack.cloud import Described
    from provisioner.events import Monitor

CLOUD = "OS_CLOUD"
_RATES_LIMIT = 1 << 20  # bytes


def add_cloud(made: Parser) -> None:
    # Of another name than the cloud of a worker, which gen-userdata's options have.
    made.add_argument(
        "--cloud", dest="of_clouds_yaml", metavar="NAME", help=f"cloud of clouds.yaml (default: {CLOUD})"
    )


def add_rates(made: argparse._ActionsContainer) -> None:
    rates = made.add_argument(
        "--rates",
        type=Path,
        metavar="FILE",
        help="TOML file with the price per hour of each flavor (default: those of Jetstream2 there)",
    )
    completed(rates, "file")


def add_choice(made: Parser) -> None:
    made.add_argument("--group", metavar="NAME", help="only servers of this WorkerGroupName")
    made.add_argument("--launch", metavar="ID", help="only servers of this launch")


def add_pool_token(made: Parser) -> None:
    given = made.add_argument(
        "--token-file", metavar="FILE", help="token for READ, if the pool requires one; - is standard input"
    )
    completed(given, "file")


def add_lost(made: Parser) -> None:
    made.add_argument(
        "--lost-after",
        default="",
        metavar="TIME",
        help="time after which a server without a worker in the pool is lost: 45min, 2h (default: 30 min, "
        "and the JoinTimeout of its worker)",
    )


def add_yes(made: Parser) -> None:
    made.add_argument("--yes", action="store_true", help="delete; without it, only print what would be")
    made.add_argument("--force", action="store_true", help="also delete workers with running jobs")


def cloud_of(options: argparse.Namespace) -> str:
    """Return the name of the cloud. Raises BadInput: none is given."""
    name = str(options.of_clouds_yaml or os.environ.get(CLOUD, ""))
    if not name:
        raise BadInput("--cloud is required.", "Use a name of clouds.yaml.")
    return name


def described(options: argparse.Namespace) -> Described:
    """Return what clouds.yaml says of the cloud. Raises BadInput, MissingHere."""
    from bakery.openstack import cloud

    return cloud.described(cloud_of(options))


@contextmanager
def connected(options: argparse.Namespace) -> Iterator[Api]:
    """Yield the cloud's API; its errors become ours."""
    from bakery.fleet.api import Api
    from bakery.openstack import cloud

    with cloud.connected(cloud_of(options)) as connection:
        yield Api(connection)


def rates_of(options: argparse.Namespace, api: Api) -> Rates | None:
    """Return the rates of --rates, or of a cloud that we know. Raises BadInput."""
    from bakery.fleet import rates
    from bakery.runtime import files

    if options.rates is None:
        return rates.of_cloud(api.auth_url)
    data = files.read_limited(options.rates, _RATES_LIMIT)
    return rates.parse(data.decode("utf-8", "replace"), str(options.rates))


def members_of(options: argparse.Namespace, api: Api, monitor: Monitor) -> list[Member]:
    """Return the chosen servers with their workers and states. Raises BadInput."""
    from bakery.commands.status.command import token_of
    from bakery.fleet import pool, states

    token = token_of(options.token_file) if options.token_file else ""
    lost_after = seconds_of(options.lost_after)
    found = [one for one in api.servers(options.launch or "") if options.group in (None, one.mark.group)]
    known = pool.ask_all(found, token, api.now, monitor)
    return states.members(found, known, api.now, lost_after)


def delete(
    options: argparse.Namespace,
    api: Api,
    found: Sequence[Verdict],
    total: int,
    monitor: Monitor,
    groups: Sequence[Mapping[str, Any]] = (),
) -> int:
    """Delete what the verdicts say, and the server groups, if --yes is given; print them.

    Return the exit code.
    """
    from bakery.fleet import deletion
    from bakery.fleet.self_deletion import keystone

    doomed = [one.member.server for one in found if one.delete]
    left = []
    if options.yes:
        left = deletion.delete_all(api, doomed, monitor)
        deletion.delete_groups(api, groups)
        deletion.delete_empty_groups(api, {one.mark.launch for one in doomed} | {options.launch or ""})
        keystone.delete_unused(api, monitor)
    _print_verdicts(options, found, [server.id for server in left], total, [one["name"] for one in groups])
    return 1 if left else 0


def _print_verdicts(
    options: argparse.Namespace,
    found: Sequence[Verdict],
    left: Sequence[str],
    total: int,
    groups: Sequence[str],
) -> None:
    from bakery.fleet import report
    from bakery.status.texts import counted

    if options.json:
        data = [report.verdict_data(one, left) for one in found]
        print_json({"done": options.yes, "servers": data, "server_groups": list(groups)})
        return
    for one in found:
        print(scrub(report.verdict(one)))
    for name in groups:
        print(f"delete server group {name}: it has no server")
    number = sum(one.delete for one in found)
    what = f"Deleted {number - len(left)}" if options.yes else f"Would delete {number}"
    say(options, f"{what} of {counted(total, 'server')}.")
    if (number or groups) and not options.yes:
        say(options, "Nothing was deleted: add --yes.")


def seconds_of(text: str) -> int:
    """Return the seconds of a time such as 45min; 0 for "". Raises BadInput."""
    from bakery.tokens import creation

    return creation.parse_lifetime(text) if text else 0


def monitor_of(options: argparse.Namespace) -> Any:
    """Return the context manager of the monitor that fits the options."""
    from bakery.runtime import progress

    return progress.reporting(json=options.json, verbose=options.verbose, quiet=options.quiet)


def print_json(result: dict[str, Any]) -> None:
    print(scrub(json.dumps(result)))


def print_table(rows: Sequence[Sequence[str]], lines: Sequence[str]) -> None:
    """Print a table and sentences below it on standard output."""
    width = terminal.width(terminal.STDOUT)
    if len(rows) > 1:
        for line in columns.table(rows, width):
            print(line)
        print()
    for line in lines:
        print(columns.wrapped(scrub(line), width, 2))


def say(options: argparse.Namespace, text: str) -> None:
    """Print a line on stderr, unless --quiet or --json."""
    if not options.quiet and not options.json:
        print(scrub(text), file=sys.stderr)
