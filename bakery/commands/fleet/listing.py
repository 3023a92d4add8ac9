"""worker-bakery fleet list: the servers beside their workers in the pool."""

from __future__ import annotations

import argparse

from bakery.commands.command_line.parser import Parser
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common

SUMMARY = "list the servers, their workers in the pool, and what they cost"
DESCRIPTION = (
    "List the servers that fleet launched in the project, with the state of their workers in the pool, "
    "their age, and what they have cost."
)
USAGE = "[options]"
EXAMPLES = ("%(prog)s --cloud mycloud", "%(prog)s --cloud mycloud --group mine --json")


def add_options(made: Parser, settings: Settings) -> None:
    common.add_cloud(made)
    common.add_choice(made)
    common.add_pool_token(made)
    common.add_lost(made)
    common.add_rates(made)


def run(options: argparse.Namespace, settings: Settings) -> int:
    from bakery.fleet import report

    with common.monitor_of(options) as monitor, common.connected(options) as api:
        rates = common.rates_of(options, api)
        found = common.members_of(options, api, monitor)
        now = api.now
    if options.json:
        common.print_json({"cloud": common.cloud_of(options), **report.as_json(found, rates, now)})
    else:
        lines = report.remarks(found, rates, now, common.cloud_of(options))
        common.print_table(report.rows(found, rates, now), list(lines))
    return 0
