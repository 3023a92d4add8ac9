"""worker-bakery fleet launch: start servers that become workers."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakery.commands import userdata, userdata_options
from bakery.commands.command_line.parser import Parser, positive_number
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common

if TYPE_CHECKING:
    from bakery.commands.userdata_options import Options
    from bakery.fleet.api import Api
    from bakery.fleet.launch import Launched
    from bakery.fleet.marks import Mark
    from bakery.fleet.plan import Plan
    from bakery.fleet.rates import Rates
    from bakery.userdata.request import UserData
    from provisioner.events import Monitor

SUMMARY = "launch servers that become workers"
DESCRIPTION = (
    "Launch servers from a worker image, with user-data as gen-userdata writes it. The user-data, the "
    "image, the flavor and the quota are checked before anything is made. If not all servers can be "
    "made, those that were are deleted again."
)
USAGE = "--image NAME --flavor NAME --count N [options]"
EXAMPLES = (
    "%(prog)s --image osg --flavor m3.tiny --count 9 --anyone",
    "%(prog)s --image osg --flavor m3.tiny --count 9 --owner ada",
)


def add_options(made: Parser, settings: Settings) -> None:
    common.add_cloud(made)
    add_servers(made, required=True)
    made.add_argument("--count", type=positive_number, required=True, metavar="N", help="number of servers")
    userdata_options.add_request(made, settings)
    add_manner(made)


def add_servers(made: argparse._ActionsContainer, *, required: bool) -> None:
    made.add_argument("--image", required=required, metavar="NAME", help="image, by name or id")
    made.add_argument("--flavor", required=required, metavar="NAME", help="flavor, by name or id")
    made.add_argument(
        "--network", default="", metavar="NAME", help="network, by name or id (default: the only one)"
    )


def add_manner(made: Parser) -> None:
    group = made.add_argument_group("launch")
    group.add_argument(
        "--spread",
        default="",
        metavar="TIME",
        help="start the servers over this time: 10min (default: at once)",
    )
    group.add_argument(
        "--keep-partial", action="store_true", help="keep the servers that were made if others fail"
    )
    group.add_argument(
        "--wait",
        nargs="?",
        const="30min",
        default="",
        metavar="TIME",
        help="wait until all workers are in the pool, at most this time (default: 30min); else say why not",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="check everything, print the plan, make nothing"
    )
    common.add_rates(group)


def run(options: argparse.Namespace, settings: Settings) -> int:
    asked = userdata_options.of_request(options, settings)
    with common.monitor_of(options) as monitor, common.connected(options) as api:
        execute(options, asked, api, options.count, monitor)
    return 0


def execute(options: argparse.Namespace, asked: Options, api: Api, count: int, monitor: Monitor) -> None:
    """Launch so many servers, or print the plan, and wait for the workers if asked to."""
    from bakery.fleet import launch

    common.seconds_of(options.wait)
    plan = plan_of(options, asked, api, count)
    result = Result(plan, common.rates_of(options, api), common.cloud_of(options))
    if options.dry_run:
        result.print_plan(options)
        return
    made = launch.launch(plan, api, monitor, keep_partial=options.keep_partial)
    result.print(options, made)
    if made.failure:
        raise made.failure
    if options.wait:
        _wait(options, plan, api, monitor)


def plan_of(options: argparse.Namespace, asked: Options, api: Api, count: int) -> Plan:
    """Check what is asked for, and return the plan. Raises BadInput, Refused."""
    from dataclasses import replace

    from bakery.fleet import plan
    from bakery.fleet.marks import names
    from provisioner.process.scrub import hide

    launch = os.urandom(6).hex()
    asked = replace(asked, group_name=asked.group_name or f"fleet-{launch}")
    flavor, image = api.flavor(options.flavor), api.image(options.image)
    plan.check_image(image, flavor, asked.worker)
    network = plan.choose_network(api.networks(), options.network)
    limits = api.limits()
    plan.check_quota(limits, flavor, count)
    made = _user_data(asked, api)
    mark = _mark(launch, made)
    plan.check_metadata(mark)
    groups, each = plan.server_groups(launch, count, limits)
    found = plan.Plan(
        mark=mark,
        names=names(mark.group, launch, count),
        image=image,
        flavor=flavor,
        network=network,
        user_data=made.payload,
        server_groups=groups,
        servers_per_group=each,
        spread=common.seconds_of(options.spread),
    )
    hide(found.secret)
    return found


def _user_data(asked: Options, api: Api) -> UserData:
    from bakery.fleet import rates
    from bakery.userdata.request import Delivery

    url = str(api.connection.config.auth.get("auth_url", ""))
    cloud = "jetstream2" if rates.of_cloud(url) else "openstack"
    _, made = userdata.generated(asked, lambda: Delivery(cloud=cloud))
    return made


def _mark(launch: str, made: UserData) -> Mark:
    """The marks of the servers, from the worker's file."""
    from bakery.fleet.marks import Mark
    from bakery.userdata import pools, request

    conf = made.conf
    known = request.pool_of(conf)
    hosts = (known.query_host, *known.managers) if known else pools.addresses(request.managers_of(conf))
    return Mark(
        launch,
        conf.group_name,
        ",".join(dict.fromkeys(hosts)),
        int(request.setting_of(conf, "JoinTimeout")),
        int(request.setting_of(conf, "MaxLifetime")),
    )


def _wait(options: argparse.Namespace, plan: Plan, api: Api, monitor: Monitor) -> None:
    """Raises Unreachable: not all workers have joined in time."""
    from bakery.fleet import joining

    # A token that only advertises cannot ask; most pools permit anonymous queries.
    joining.wait_for_all(
        plan.mark.launch, len(plan.names), "", api, monitor, common.seconds_of(options.wait)
    )


@dataclass(frozen=True)
class Result:
    """What a launch prints."""

    plan: Plan
    rates: Rates | None
    cloud: str

    def print_plan(self, options: argparse.Namespace) -> None:
        if options.json:
            common.print_json({**self._about(len(self.plan.names)), "names": list(self.plan.names)})
            return
        print("\n".join(self.plan.names))
        common.say(options, f"Would launch {self._sentence(len(self.plan.names))}. Nothing was made.")

    def print(self, options: argparse.Namespace, made: Launched) -> None:
        if options.json:
            servers = [{"id": one.id, "name": one.name, "status": one.status} for one in made.servers]
            common.print_json({**self._about(len(servers)), "servers": servers})
            return
        for one in made.servers:
            print(f"{one.id} {one.name}")
        if made.servers:
            common.say(options, f"Launched {self._sentence(len(made.servers))}.")
            for purpose, command in self._commands().items():
                common.say(options, f"{purpose}: {command}")

    def _about(self, count: int) -> dict[str, Any]:
        mark, hourly = self.plan.mark, self._per_hour(count)
        return {
            "cloud": self.cloud,
            "group": mark.group,
            "launch": mark.launch,
            "image": self.plan.image.id,
            "flavor": self.plan.flavor.name,
            "network": self.plan.network,
            "pool": mark.pool,
            "count": count,
            "unit": self.rates.unit if self.rates else None,
            "per_hour": hourly,
            "commands": list(self._commands().values()),
        }

    def _sentence(self, count: int) -> str:
        from bakery.fleet import rates, report

        plan = self.plan
        text = f"{count} servers of {plan.flavor.name} from {plan.image.name}, launch {plan.mark.launch}"
        if not self.rates:
            return f"{text}; their cost is not known (--rates FILE)"
        cost = rates.amount(self._per_hour(count), self.rates.unit)
        return f"{text}; {cost} per hour until they are deleted ({report.basis(self.rates)})"

    def _per_hour(self, count: int) -> float | None:
        price = self.rates.flavors.get(self.plan.flavor.name) if self.rates else None
        return None if price is None else price * count

    def _commands(self) -> dict[str, str]:
        """What follows: watch the workers, and delete what is still charged."""
        import shlex

        mark, fleet = self.plan.mark, ("worker-bakery", "fleet")
        chosen = ("--cloud", self.cloud, "--group", mark.group)
        commands = {
            "Watch": ("worker-bakery", "status", "--pool", mark.pool, "--group", mark.group, "--watch"),
            "List": (*fleet, "list", *chosen),
            "Workers that have shut down are charged until you delete them": (
                *fleet,
                "reap",
                *chosen,
                "--yes",
            ),
        }
        return {purpose: shlex.join(words) for purpose, words in commands.items()}
