"""worker-bakery fleet replace: replace the servers of a group, a few at a time, by others of an image."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from bakery.commands import userdata_options
from bakery.commands.command_line.parser import Parser, completed, positive_number
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common, launch, workers
from provisioner.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bakery.commands.fleet.workers import Worker
    from bakery.fleet.api import Api
    from bakery.fleet.plan import Plan
    from bakery.fleet.preparing import Wanted
    from bakery.fleet.replacement.roll import Manner, Roll
    from bakery.fleet.states import Member
    from provisioner.events import Monitor

SUMMARY = "replace the servers of a group, a few at a time, by servers of another image"
DESCRIPTION = (
    "Replace the servers of a group that are not of --image. A few at a time, their workers are drained, "
    "their jobs may end, the servers are deleted, and others are launched as fleet launch does, with the "
    "same options. The next ones follow when the new workers are in the pool. If new servers or workers "
    "fail, the replacement stops. Run again, it goes on where it has ended. Without --yes, print what "
    "would be replaced."
)
USAGE = "--group-name NAME --image NAME [options]"
EXAMPLES = (
    "%(prog)s --group-name g --image b --flavor m --anyone",
    "%(prog)s --group-name g --image b --flavor m --anyone --yes",
)


def add_options(made: Parser, settings: Settings) -> None:
    common.add_cloud(made)
    launch.add_servers(made, made.add_argument_group("servers"), required=True)
    group = made.add_argument_group("replacement")
    group.add_argument(
        "--at-once",
        type=positive_number,
        default=1,
        metavar="N",
        help="number of servers that are replaced at the same time (default: %(default)s)",
    )
    group.add_argument(
        "--jobs-limit",
        default="24h",
        metavar="TIME",
        help="longest wait for the jobs of a worker (default: %(default)s)",
    )
    group.add_argument(
        "--join-limit",
        default="30min",
        metavar="TIME",
        help="longest wait until new workers are in the pool (default: %(default)s)",
    )
    given = group.add_argument(
        "--admin-token-file",
        metavar="FILE",
        help="token for ADMINISTRATOR of the pool, with which workers are drained; - is standard input",
    )
    completed(given, "file")
    group.add_argument(
        "--dry-run", action="store_true", help="print what would be replaced, as without --yes"
    )
    common.add_yes(made)
    userdata_options.add_request(made, settings)
    made.set_defaults(lost_after="", launch="", spread="", wait="", rates=None)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.fleet import preparing
    from bakery.fleet.replacement import steps

    if not options.group_name:
        raise BadInput("--group-name is required.", "See the groups: worker-bakery fleet list.")
    worker = workers.generated(options, workers.asked_for(options, settings))
    manner, wanted = _manner(options), launch.wanted_of(options, 0)
    with common.monitor_of(options) as monitor, common.connected(options) as api:
        plan = launch.planned(worker, wanted, api)
        members = _members(options, manner, api)
        if not members:
            raise BadInput("The group has no servers.", "Launch some: worker-bakery fleet launch.")
        workers.refuse_prominence(members, "replace")
        size = steps.size(members)
        if options.yes and not options.dry_run:
            plan = preparing.with_image(plan, wanted, api, common.cloud_of(options), monitor)
            _execute(options, _roll(options, worker, wanted, manner, plan.image.id, api, monitor), size)
        else:
            roll = _roll(options, worker, wanted, manner, plan.image.id, api, monitor)
            _print(options, roll, size, steps.outdated(members, plan.image.id))
    return 0


def _members(options: argparse.Namespace, manner: Manner, api: Api) -> list[Member]:
    from bakery.fleet import joining
    from provisioner.events import Silent

    found = joining.members("", manner.token, api, Silent())
    return [one for one in found if one.server.mark.group == options.group_name]


def _manner(options: argparse.Namespace) -> Manner:
    """Raises BadInput: a time that is none, or a file without a token."""
    from bakery.commands.status.command import token_of
    from bakery.fleet.replacement.roll import Manner

    file = options.admin_token_file
    return Manner(
        common.seconds_of(options.jobs_limit),
        common.seconds_of(options.join_limit),
        token_of(file) if file else "",
        options.force,
    )


def _roll(
    options: argparse.Namespace,
    worker: Worker,
    wanted: Wanted,
    manner: Manner,
    image: str,
    api: Api,
    monitor: Monitor,
) -> Roll:
    from dataclasses import replace

    from bakery.fleet.replacement.roll import Roll
    from bakery.fleet.replacement.steps import Goal

    def plan(count: int, size: int) -> Plan:
        return replace(launch.planned(worker.again(), replace(wanted, count=count), api), size=size)

    members = partial(_members, options, manner, api)
    return Roll(Goal(image, options.at_once), manner, members, plan, api, monitor)


def _execute(options: argparse.Namespace, roll: Roll, size: int) -> None:
    """Replace the servers, and print what was done in any case."""
    try:
        roll.run(size)
    finally:
        _print(options, roll, size, ())


def _print(options: argparse.Namespace, roll: Roll, size: int, old: Sequence[Member]) -> None:
    from bakery.status.texts import counted, printable

    if options.json:
        common.print_json(_data(options, roll, size, old))
        return
    for one in old:
        print(f"replace {printable(one.server.name, 63)}: {one.state}")
    for server in roll.deleted:
        print(f"deleted {printable(server.name, 63)}")
    for server in roll.launched:
        print(f"launched {printable(server.name, 63)}")
    if options.yes and not options.dry_run:
        text = f"Deleted {counted(len(roll.deleted), 'server')}, launched {len(roll.launched)}."
    else:
        text = f"Would replace {counted(len(old), 'server')} of a group of {size}. Nothing was done."
    common.say(options, text)


def _data(options: argparse.Namespace, roll: Roll, size: int, old: Sequence[Member]) -> dict[str, object]:
    def about(name: str, id: str) -> dict[str, str]:
        return {"id": id, "name": name}

    return {
        "done": bool(options.yes and not options.dry_run),
        "image": roll.goal.image,
        "size": size,
        "outdated": [{**about(one.server.name, one.server.id), "state": one.state} for one in old],
        "deleted": [about(one.name, one.id) for one in roll.deleted],
        "launched": [about(one.name, one.id) for one in roll.launched],
    }
