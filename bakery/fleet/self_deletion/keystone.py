"""Make the application credentials of servers, and delete those of servers that have gone.

Source: docs.openstack.org/api-ref/identity/v3, "Application Credentials"; access rules are of 3.13 (Train).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bakery.fleet.api import Api, Json
from bakery.fleet.self_deletion import credential
from bakery.fleet.self_deletion.credential import Used
from provisioner.errors import Refused
from provisioner.events import Monitor, warn
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from keystoneauth1.session import Session

_TIMEOUT = 120  # seconds
_OMIT = "Omit --on-idle delete, or ask the administrators of the cloud."


@dataclass(frozen=True)
class Keystone:
    """The application credentials of the user of a connection.

    Methods raise the exceptions of openstacksdk, unless they say otherwise.
    """

    api: Api

    def check(self) -> None:
        """Raise Refused if our own credential cannot make others."""
        own = self._token.get("application_credential")
        if own and own.get("restricted", True):
            raise Refused(
                "The application credential of clouds.yaml is restricted: Keystone does not let it make "
                "the credentials with which servers delete themselves.",
                "Use a password or an application credential created with --unrestricted, or omit "
                "--on-idle delete.",
            )

    def text(self, secret: str) -> str:
        """Return the value of ServerCredential of a worker."""
        return credential.text(auth_url=self._url(), user=self._user, secret=secret, compute=self.compute)

    def make(self, server: str, secret: str) -> None:
        """Make the application credential of a server. Raises Refused: Keystone does not, or not ours."""
        from openstack import exceptions

        roles = self._token["roles"]
        body = credential.body(server, secret, compute=self.compute, region=self._region, roles=roles)
        try:
            made = self.api.keystone("POST", self._path, json=body)["application_credential"]
        except exceptions.ConflictException:
            return  # an attempt before, whose answer was lost
        except (exceptions.ForbiddenException, exceptions.BadRequestException) as error:
            why = scrub(str(error.details or error)).strip().rstrip(".")
            raise Refused(
                f"Keystone does not make the credential with which a server deletes itself: {why}.", _OMIT
            ) from None
        if not credential.is_restricted(made, server, self.compute):
            self.api.keystone("DELETE", f"{self._path}/{made['id']}")
            raise Refused("The cloud's Keystone does not know access rules: it is too old.", _OMIT)

    def session(self, server: str, secret: str) -> Session:
        """Return a session that authenticates by the application credential of a server."""
        from keystoneauth1.identity.v3 import ApplicationCredential
        from keystoneauth1.session import Session

        ours = self.api.connection.session
        auth = ApplicationCredential(
            auth_url=self._url(),
            application_credential_name=credential.name(server),
            application_credential_secret=secret,
            user_id=self._user,
        )
        return Session(auth=auth, verify=ours.verify, cert=ours.cert, timeout=_TIMEOUT)

    def used(self) -> list[Used]:
        """Return the application credentials of our servers."""
        found = self.api.keystone("GET", self._path)["application_credentials"]
        return credential.ours(found, project=self.api.project, region=self._region)

    def delete(self, one: Used) -> None:
        """Delete an application credential, and its access rules, which Keystone would keep."""
        from openstack import exceptions

        with suppress(exceptions.NotFoundException):
            self.api.keystone("DELETE", f"{self._path}/{one.id}")
        for rule in one.rules:
            # 403: another application credential has this rule, too.
            with suppress(exceptions.NotFoundException, exceptions.ForbiddenException):
                self.api.keystone("DELETE", f"/users/{self._user}/access_rules/{rule}")

    @cached_property
    def compute(self) -> str:
        """The public address of Nova."""
        return self.api.public_nova()

    @property
    def _region(self) -> str:
        return str(self.api.connection.config.get_region_name() or "")

    @cached_property
    def _token(self) -> Json:
        """What Keystone says of our own token."""
        headers = {"X-Subject-Token": str(self.api.connection.auth_token)}
        found: dict[str, Any] = self.api.keystone("GET", "/auth/tokens?nocatalog", headers=headers)["token"]
        return found

    @property
    def _user(self) -> str:
        return str(self._token["user"]["id"])

    @property
    def _path(self) -> str:
        return f"/users/{self._user}/application_credentials"

    def _url(self) -> str:
        """The address of Keystone, with /v3."""
        found = self.api.auth_url.rstrip("/")
        return found if found.endswith("/v3") else f"{found}/v3"


def delete_unused(api: Api, monitor: Monitor) -> None:
    """Delete the application credentials of our servers that have gone, and nothing else.

    What cannot be deleted is reported: it permits the deletion of a server that has gone.
    """
    from openstack import exceptions

    keystone = Keystone(api)
    with suppress(exceptions.ForbiddenException, exceptions.NotFoundException):
        used = keystone.used()
        try:
            for one in _unused(api, used):
                keystone.delete(one)
        except exceptions.HttpException as error:
            why = scrub(str(error.details or error)).strip().rstrip(".")
            warn(monitor, f"Application credentials of servers that have gone stay in Keystone: {why}.")


def _unused(api: Api, used: Sequence[Used]) -> list[Used]:
    """Those whose servers have gone. Servers are asked for after `used`: each is there before its own."""
    there = {server.id for server in api.servers()} if used else set()
    return [one for one in credential.without(used, there) if api.has_gone(one.server)]
