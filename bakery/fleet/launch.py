"""Execute a launch: make the groups and the servers, wait until they are built, or undo it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bakery.fleet import marks
from bakery.fleet.api import Api
from bakery.fleet.deletion import delete_all, delete_empty_groups
from bakery.fleet.plan import Plan
from bakery.fleet.self_deletion import keystone, trial
from bakery.fleet.self_deletion.keystone import Keystone
from bakery.fleet.servers import Server
from bakery.openstack.cloud import is_unauthorised
from bakery.runtime.conditions import Condition, wait
from provisioner.errors import BakeryError, Interrupted, NotProven, Refused
from provisioner.events import Monitor, note, phase, warn
from provisioner.process.scrub import scrub

BUILD = 1800.0  # seconds until all servers of a launch are built
_ATTEMPTS = 4
_INTERVAL = 2.0  # seconds between two queries for the servers


@dataclass(frozen=True)
class Launched:
    """The servers that are there; `failure` is why there are fewer than planned."""

    servers: tuple[Server, ...]
    failure: BakeryError | None = None


def launch(plan: Plan, api: Api, monitor: Monitor, *, keep_partial: bool) -> Launched:
    """Make the servers of a plan.

    If not all can be made, those that were are deleted again, unless `keep_partial`. Raises the exceptions
    of openstacksdk, and Interrupted, after which nothing is kept; the servers are deleted before. Raises
    Refused: the credentials have ended, so servers may stay.
    """
    this = _Launch(plan, api, monitor)
    try:
        this.create()
        servers, failure = this.built()
    except Interrupted:
        this.undo()
        raise
    except Exception as error:  # whatever it is: servers that stay would be charged
        stays = keep_partial or not this.undo(tell=not is_unauthorised(error))
        if is_unauthorised(error):
            raise this.ended(stays=stays, keep=keep_partial) from None
        if keep_partial:
            warn(monitor, f"The servers that were made stay. See them: {this.command('list')}")
        raise
    if failure is None or (keep_partial and servers):
        return Launched(tuple(servers), failure)
    this.undo()
    return Launched((), failure)


@dataclass
class _Launch:
    plan: Plan
    api: Api
    monitor: Monitor
    failure: BakeryError | None = None
    _groups: dict[str, str] = field(default_factory=dict)
    _made: int = 0
    _permitted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._keystone = Keystone(self.api)

    def create(self) -> None:
        """Make the groups, and the servers one after the other, until one is refused."""
        security_group, is_open = self.api.security_group()
        if is_open:
            warn(self.monitor, "The security group worker-bakery has inbound rules, which somebody added.")
        if self.plan.own:
            trial.run(self._keystone, self.monitor)
            keystone.delete_unused(self.api, self.monitor)  # that of the trial among them
        total, started = len(self.plan.names), time.monotonic()
        with phase(self.monitor, f"create {total} servers"):
            for place, name in enumerate(self.plan.names):
                _sleep_until(started + self.plan.spread * place / total)
                group = self._server_group(self.plan.server_group(place))
                server = self._create(name, self.plan.body(name, security_group, group))
                if not server:
                    return
                self._made += 1
                self._permit_deletion(name, server)

    def _server_group(self, name: str) -> str:
        """The id of a server group, made when its first server is."""
        if name and name not in self._groups:
            self._groups[name] = self.api.create_server_group(marks.dated(name, self.api.now))
        return self._groups.get(name, "")

    def _create(self, name: str, body: dict[str, object]) -> str:
        """Create a server and return its id; "" if the cloud refuses more.

        After an error of the service the server may be there: it is looked for before another attempt.
        """
        from keystoneauth1 import exceptions as auth
        from openstack import exceptions

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self.api.create(body)
            except exceptions.ForbiddenException as error:
                self.failure = self._refused(name, error)
                return ""
            except (exceptions.HttpException, auth.ConnectionError) as error:
                if not _may_pass(error):
                    raise
                there = self.api.servers(self.plan.mark.launch)
                if found := [server.id for server in there if server.name == name]:
                    return found[0]
                if attempt == _ATTEMPTS:
                    raise
                note(self.monitor, f"{name}: {scrub(str(error))} Trying again.")
                time.sleep(2.0**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _permit_deletion(self, name: str, server: str) -> None:
        """Make the credential with which a server deletes itself, if it is to. Raises Refused."""
        if name in self.plan.own and server not in self._permitted:
            self._keystone.make(server, self.plan.own[name].secret)
            self._permitted.add(server)

    def _refused(self, name: str, error: Exception) -> BakeryError:
        """The error for a 403: of a quota, or of a policy of the cloud."""
        number = self.plan.names.index(name) + 1
        why = scrub(str(getattr(error, "details", None) or error)).strip().rstrip(".")
        return Refused(
            f"The cloud refused server {number} of {len(self.plan.names)}: {why}.",
            "Use a smaller --count, delete servers (fleet reap), or ask for a larger quota.",
        )

    def built(self) -> tuple[list[Server], BakeryError | None]:
        """Wait until no server is being built; return those that run, and why others do not."""
        launch = self.plan.mark.launch

        def all_there() -> list[Server]:
            found = self.api.servers(launch)
            if any(server.status == "BUILD" for server in found):
                raise NotProven(f"{sum(one.status == 'BUILD' for one in found)} are in BUILD")
            return found

        with phase(self.monitor, "wait until the servers are built"):
            try:
                condition = Condition("no server is in BUILD", all_there, BUILD, lambda _: True)
                found = wait(condition, interval=_INTERVAL)
            except NotProven as error:
                return self.api.servers(launch), self.failure or BakeryError(str(error))
        return self._judge(found)

    def _judge(self, found: list[Server]) -> tuple[list[Server], BakeryError | None]:
        """Delete what is not of use: servers in ERROR, and a second server of a name."""
        good = {server.name: server for server in reversed(found) if server.status != "ERROR"}
        bad = [server for server in found if server not in good.values()]
        failed = [server for server in bad if server.name not in good]
        delete_all(self.api, bad, self.monitor)
        if failed and not self.failure:
            texts = (server.fault.strip().rstrip(" .") for server in failed)
            faults = sorted({text or "no reason is given" for text in texts})
            self.failure = BakeryError(
                f"{len(failed)} of {len(self.plan.names)} servers went to ERROR: {'; '.join(faults)}.",
                "Try again later, or with another flavor.",
            )
        for name, server in good.items():  # the one that stays may be the other one of a name
            self._permit_deletion(name, server.id)
        order = {name: place for place, name in enumerate(self.plan.names)}
        return sorted(good.values(), key=lambda server: order.get(server.name, 0)), self.failure

    def undo(self, *, tell: bool = True) -> bool:
        """Delete what this launch has made; return whether all has gone.

        An error on the way is reported, if `tell`: the first one counts.
        """
        note(self.monitor, "Deleting the servers of this launch.")
        try:
            left = delete_all(self.api, self.api.servers(self.plan.mark.launch), self.monitor)
            delete_empty_groups(self.api, [self.plan.mark.launch])
            if self.plan.own:
                keystone.delete_unused(self.api, self.monitor)
        except Exception as another:  # it must not hide the error that was first
            if tell:
                what = f"Not everything of this launch was deleted: {scrub(str(another))}"
                warn(self.monitor, f"{what} Run: {self.command('delete')}")
            return False
        return not left

    def command(self, verb: str) -> str:
        """The command that shows or deletes the servers of this launch, whatever has become of it."""
        of_launch = ("--cloud", self.api.cloud, "--launch", self.plan.mark.launch)
        return shlex.join(("worker-bakery", "fleet", verb, *of_launch, *(("--yes",) * (verb == "delete"))))

    def ended(self, *, stays: bool, keep: bool) -> Refused:
        """The error for credentials that have ended since the launch began."""
        became, verb = "The servers were deleted.", "list" if keep or not self._made else "delete"
        hint = "Get new ones, for example an application credential that ends later."
        if stays and self._made:
            became = f"{self._made} of {len(self.plan.names)} servers were made, and stay."
            hint += f" Then {'see' if keep else 'delete'} them: {self.command(verb)}"
        elif stays:  # an answer may have been lost
            became, hint = "No server is known to be made.", f"{hint} Then see: {self.command(verb)}"
        return Refused(
            "The credentials of clouds.yaml have ended during the launch: the cloud "
            f"{self.api.cloud} does not accept them any more. {became}",
            hint,
        )


def _may_pass(error: Exception) -> bool:
    """Whether another attempt may succeed: no answer, too many requests, a fault of the service."""
    status = getattr(error, "status_code", None) or getattr(error, "http_status", None)
    return status is None or status == 429 or status >= 500


def _sleep_until(when: float, clock: Callable[[], float] = time.monotonic) -> None:
    time.sleep(max(0.0, when - clock()))
