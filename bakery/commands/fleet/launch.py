"""worker-bakery fleet launch: start servers that become workers."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakery.commands import userdata_options
from bakery.commands.command_line.parser import Parser, positive_number
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common, workers

if TYPE_CHECKING:
    from argparse import _ActionsContainer as Container

    from bakery.catalogue.published import Published
    from bakery.commands.fleet.workers import Worker
    from bakery.fleet.api import Api
    from bakery.fleet.launch import Launched
    from bakery.fleet.plan import Plan
    from bakery.fleet.preparing import Wanted
    from bakery.fleet.rates import Rates
    from bakery.fleet.states import Member
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
    "%(prog)s --catalogue URL#osg --flavor m3 --count 9 --anyone",
)


def add_options(made: Parser, settings: Settings) -> None:
    common.add_cloud(made)
    add_servers(made, made.add_argument_group("servers"), required=True)
    made.add_argument("--count", type=positive_number, required=True, metavar="N", help="number of servers")
    userdata_options.add_request(made, settings, prominence=True)
    add_manner(made)


def add_servers(made: Container, more: Container, *, required: bool) -> None:
    """Add the options of the servers; `more` is the group of those that few people need."""
    one_of = made.add_mutually_exclusive_group(required=required)
    add_image(one_of)
    one_of.add_argument(
        "--catalogue",
        metavar="URL#NAME",
        help="image of a catalogue, or URL#NAME@VERSION; uploaded if the cloud does not have it",
    )
    add_flavor(made, required=required)
    add_network(more)
    more.add_argument(
        "--root-volume",
        type=positive_number,
        default=0,
        metavar="GIB",
        help="boot from a volume of this size, which is deleted with its server (default: the disk of the "
        "flavor)",
    )


def add_image(made: Container) -> argparse.Action:
    return made.add_argument("--image", metavar="NAME", help="image in the cloud, by name or id")


def add_flavor(made: Container, *, required: bool) -> None:
    made.add_argument("--flavor", required=required, metavar="NAME", help="flavor, by name or id")


def add_network(made: Container) -> None:
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
    worker = workers.generated(options, workers.asked_for(options, settings))
    wanted = wanted_of(options, options.count)
    with common.monitor_of(options) as monitor, common.connected(options) as api:
        execute(options, worker, wanted, api, monitor)
    return 0


def wanted_of(options: argparse.Namespace, count: int) -> Wanted:
    """Return what is asked for. Raises BadInput; Unreachable: the catalogue does not answer."""
    from bakery.fleet.preparing import Wanted

    common.seconds_of(options.wait)
    return Wanted(
        image=options.image or "",
        published=_published(options) if options.catalogue else None,
        kind=options.worker,
        flavor=options.flavor,
        count=count,
        network=options.network,
        spread=common.seconds_of(options.spread),
        root_volume=options.root_volume,
    )


def _published(options: argparse.Namespace) -> Published:
    from bakery.catalogue import published

    return published.find(options.catalogue, options.worker)


def execute(
    options: argparse.Namespace, worker: Worker, wanted: Wanted, api: Api, monitor: Monitor
) -> None:
    """Launch the servers, or print the plan, and wait for the workers if asked to."""
    from bakery.fleet import launch, preparing

    plan, cloud = planned(worker, wanted, api), common.cloud_of(options)
    rates = common.rates_of(options, api)
    if options.dry_run:
        Result(plan, rates, cloud).print_plan(options)
        return
    plan = preparing.with_image(plan, wanted, api, cloud, monitor)
    result = Result(plan, rates, cloud)
    made = launch.launch(plan, api, monitor, keep_partial=options.keep_partial)
    result.print(options, made)
    if made.failure:
        raise made.failure
    if options.wait:
        _wait(options, plan, api, monitor)


def planned(worker: Worker, wanted: Wanted, api: Api) -> Plan:
    """Return the plan of what is asked for, checked against the cloud. Raises BadInput, Refused."""
    from bakery.fleet import preparing
    from bakery.fleet.self_deletion import preparation

    plan = preparing.plan_of(worker.launch, wanted, preparing.find(wanted, api), worker.made)
    if not preparation.is_wanted(worker.request):
        return plan
    return preparation.with_own(plan, worker.request, worker.delivery, api)


def _wait(options: argparse.Namespace, plan: Plan, api: Api, monitor: Monitor) -> None:
    """Raises Unreachable: not all workers have joined in time."""
    from bakery.fleet import joining
    from provisioner.events import Silent

    def members() -> list[Member]:
        # A token that only advertises cannot ask; most pools permit anonymous queries.
        return joining.members(plan.mark.launch, "", api, Silent())

    joining.wait_for_all(members, len(plan.names), api, monitor, common.seconds_of(options.wait))


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
        if not self.plan.image.id:
            common.say(options, f"Would upload {self.plan.image.name}, which the cloud does not have.")
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
            "image": self.plan.image.id or None,
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
        prominence = ("--cloud", mark.cloud, "--region", mark.region, "--node-group", mark.group)
        advertised = prominence if mark.cloud else ("--group", mark.group)
        commands = {
            "Watch": ("worker-bakery", "status", "--pool", mark.pool, *advertised, "--watch"),
            "List": (*fleet, "list", *chosen),
            "Workers that have shut down are charged until you delete them": (
                *fleet,
                "reap",
                *chosen,
                "--yes",
            ),
        }
        return {purpose: shlex.join(words) for purpose, words in commands.items()}
