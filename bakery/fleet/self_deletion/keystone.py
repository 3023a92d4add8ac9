"""Make the application credentials of servers, and delete those of servers that have gone.

Source: docs.openstack.org/api-ref/identity/v3, "Application Credentials"; access rules are of 3.13 (Train).
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from bakery.fleet.api import Api
from bakery.fleet.self_deletion import credential
from provisioner.errors import Refused
from provisioner.process.scrub import hide, scrub


@dataclass(frozen=True)
class Keystone:
    """The application credentials of the user of a connection.

    Methods raise the exceptions of openstacksdk, unless they say otherwise.
    """

    api: Api

    @property
    def _user(self) -> str:
        return str(self.api.connection.current_user_id)

    def text(self, secret: str) -> str:
        """Return the value of ServerCredential of a worker; it is hidden from messages from now on."""
        found = credential.text(auth_url=self._url(), user=self._user, secret=secret, region=self._region)
        hide(secret)
        hide(found)
        return found

    def make(self, server: str, secret: str) -> None:
        """Make the application credential of a server. Raises Refused: Keystone does not permit it."""
        from openstack import exceptions

        path = urlsplit(str(self.api.connection.compute.get_endpoint())).path
        try:
            self.api.identity(
                "POST", self._path(), json=credential.body(server, secret, path, self._region)
            )
        except exceptions.ForbiddenException as error:
            raise Refused(
                f"Keystone does not permit to make application credentials: {scrub(str(error))}",
                "Use a password or an unrestricted application credential, or omit --on-idle delete.",
            ) from None
        except exceptions.ConflictException:
            return  # an attempt before, whose answer was lost

    def delete_of_gone(self, there: Collection[str]) -> None:
        """Delete our credentials whose servers are not among these; without permission, they stay."""
        from openstack import exceptions

        with suppress(exceptions.ForbiddenException, exceptions.NotFoundException):
            found = self.api.identity("GET", self._path())["application_credentials"]
            gone = credential.gone(found, there, project=self.api.project, region=self._region)
            for id in gone:
                self.api.identity("DELETE", f"{self._path()}/{id}")

    @property
    def _region(self) -> str:
        return str(self.api.connection.config.get_region_name() or "")

    def _path(self) -> str:
        return f"/users/{self._user}/application_credentials"

    def _url(self) -> str:
        """The address of Keystone, with /v3."""
        found = self.api.auth_url.rstrip("/")
        return found if found.endswith("/v3") else f"{found}/v3"
