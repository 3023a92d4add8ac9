"""worker-bakery fleet reap: delete the servers that do no work any more."""

from __future__ import annotations

import argparse

from bakery.commands.command_line.parser import Parser
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common

SUMMARY = "delete servers that have shut down, failed, expired, or never joined"
DESCRIPTION = (
    "Delete servers that fleet launched and that do no work: shut off, in ERROR, in BUILD for too long, "
    "past their --max-hours, or running without a worker in the pool for too long, and server groups of "
    "launches that were killed before they made a server. Without --yes, print "
    "what would be deleted. A worker with a running job, a locked server, and a server of which the "
    "pool does not know enough are kept."
)
USAGE = "[options]"
EXAMPLES = ("%(prog)s --cloud mycloud", "%(prog)s --cloud mycloud --group mine --yes")


def add_options(made: Parser, settings: Settings) -> None:
    common.add_cloud(made)
    common.add_choice(made)
    common.add_pool_token(made)
    common.add_lost(made)
    made.add_argument(
        "--build-limit",
        default="30min",
        metavar="TIME",
        help="longest time in BUILD, and of a server group without servers (default: %(default)s)",
    )
    common.add_yes(made)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.fleet import reaping

    policy = reaping.Policy(common.seconds_of(options.build_limit), options.force)
    with common.monitor_of(options) as monitor, common.connected(options) as api:
        members = common.members_of(options, api, monitor)
        found = reaping.verdicts(members, policy, api.now)
        # Nothing says which WorkerGroupName a server group without servers is for.
        groups = api.server_groups() if options.group is None else []
        left = reaping.abandoned(groups, options.launch or "", policy, api.now)
        return common.delete(options, api, found, len(members), monitor, left)
