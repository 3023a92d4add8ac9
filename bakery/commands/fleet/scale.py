"""worker-bakery fleet scale: launch or delete servers of a group until it has so many."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bakery.commands import userdata_options
from bakery.commands.command_line.parser import Parser, whole_number
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common, launch, workers
from provisioner.errors import BadInput, BakeryError

if TYPE_CHECKING:
    from bakery.fleet.api import Api
    from bakery.fleet.states import Member
    from provisioner.events import Monitor

SUMMARY = "launch or delete servers of a group until it has N"
DESCRIPTION = (
    "Launch or delete servers until the group has N that work. Servers that are shut off, in ERROR or "
    "lost do not count. More servers are launched as fleet launch does, with the same options. Of too "
    "many, those go first that are not built or booted, then idle workers; workers with running jobs "
    "stay, unless --force is given. Without --yes, print what would be done."
)
USAGE = "--group-name NAME --to N [options]"
EXAMPLES = (
    "%(prog)s --cloud mycloud --group-name mine --to 5",
    "%(prog)s --cloud mycloud --group-name mine --to 5 --yes",
)


def add_options(made: Parser, settings: Settings) -> None:
    common.add_cloud(made)
    made.add_argument("--to", type=whole_number, required=True, metavar="N", help="number of servers")
    common.add_yes(made)
    userdata_options.add_request(made, settings)
    more = made.add_argument_group("more servers")
    launch.add_servers(more, more, required=False)
    launch.add_manner(made)
    made.set_defaults(lost_after="", launch="")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.fleet import reaping, scaling

    if not options.group_name:
        raise BadInput("--group-name is required.", "See the groups: worker-bakery fleet list.")
    asked = workers.asked_for(options, settings)
    options.yes = options.yes and not options.dry_run
    with common.monitor_of(options) as monitor, common.connected(options) as api:
        members = _members(options, api, monitor)
        there = scaling.counted(members)
        if len(there) < options.to:
            _require_image(options)
            workers.refuse_prominence(members, "scale")
            worker = workers.generated(options, asked)  # a smaller group needs no token
            wanted = launch.wanted_of(options, options.to - len(there))
            launch.execute(options, worker, wanted, api, monitor)
            return 0
        gone = scaling.surplus(members, options.to, force=options.force)
        found = reaping.requested(gone, f"{len(there)} servers, --to {options.to}", force=options.force)
        code = common.delete(options, api, found, len(members), monitor)
    if more := len(there) - len(gone) - options.to:
        raise BakeryError(
            f"{more} servers more than --to {options.to} stay: jobs may run on them, or they are locked.",
            "Try again when the jobs have ended, or use --force.",
        )
    return code


def _require_image(options: argparse.Namespace) -> None:
    """Raise BadInput if servers cannot be launched; without --yes, nothing is."""
    if not (options.image or options.catalogue) or not options.flavor:
        raise BadInput(
            "More servers require --image or --catalogue, and --flavor.",
            "Give the options of fleet launch.",
        )
    options.dry_run = options.dry_run or not options.yes


def _members(options: argparse.Namespace, api: Api, monitor: Monitor) -> list[Member]:
    """The servers of the group; the pool is asked without a token, that of --token-file is a worker's."""
    asked = argparse.Namespace(**{**vars(options), "group": options.group_name, "token_file": None})
    return common.members_of(asked, api, monitor)
