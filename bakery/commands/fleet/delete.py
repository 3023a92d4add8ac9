"""worker-bakery fleet delete: delete all servers of a group or of a launch."""

from __future__ import annotations

import argparse

from bakery.commands.command_line.parser import Parser
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common
from provisioner.errors import BadInput

SUMMARY = "delete all servers of a group or of a launch"
DESCRIPTION = (
    "Delete the servers of a group or of a launch, whatever their state. Without --yes, print what "
    "would be deleted. Workers with running jobs, locked servers, and running servers of which the pool "
    "does not know enough are kept, unless --force is given."
)
USAGE = "(--group NAME | --launch ID) [options]"
EXAMPLES = (
    "%(prog)s --cloud mycloud --group mine",
    "%(prog)s --cloud mycloud --group mine --yes",
)


def add_options(made: Parser, settings: Settings) -> None:
    common.add_cloud(made)
    common.add_choice(made)
    common.add_pool_token(made)
    common.add_yes(made)
    made.set_defaults(lost_after="")


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.fleet import reaping

    if options.group is None and not options.launch:
        raise BadInput("--group or --launch is required.", "See the groups: worker-bakery fleet list.")
    with common.monitor_of(options) as monitor, common.connected(options) as api:
        members = common.members_of(options, api, monitor)
        found = reaping.requested(members, "requested", force=options.force)
        return common.delete(options, api, found, len(members), monitor)
