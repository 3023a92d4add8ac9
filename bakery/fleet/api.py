"""The calls of Nova, Glance and Neutron that a fleet makes, by a session of openstacksdk.

Source: docs.openstack.org/api-ref/compute (2.52: tags of a new server; 2.47: the flavor in a server),
/image/v2 and /network/v2. Each answer has a clock, by which ages are computed: ours may be wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bakery.fleet import marks, servers
from bakery.fleet.plan import KIND, SECURITY_GROUP, SHA256, UPLOADING, Flavor, Image, Limits
from bakery.fleet.servers import Server
from provisioner import did_you_mean
from provisioner.errors import BadInput, Refused
from provisioner.process.scrub import scrub

if TYPE_CHECKING:
    from openstack.connection import Connection

_NOVA = "2.52"
_PAGE = 500
_TIMEOUT = 120  # seconds until an answer begins
Json = Mapping[str, Any]
# Of calls that may be made twice. keystoneauth doubles the delay between them, from half a second.
_AGAIN = {
    "status_code_retries": 4,
    "retriable_status_codes": (429, 500, 502, 503, 504),
    "connect_retries": 3,
}


@dataclass
class Api:
    """The servers of the project of a connection. Methods raise the exceptions of openstacksdk."""

    connection: Connection
    _ahead: float = field(default=0.0)

    @property
    def project(self) -> str:
        return str(self.connection.current_project_id)

    @property
    def cloud(self) -> str:
        """The name of the cloud in clouds.yaml."""
        return str(self.connection.config.name)

    @property
    def auth(self) -> Json:
        """What clouds.yaml has to authenticate with; secret."""
        found: Json = self.connection.config.config.get("auth", {})
        return found

    @property
    def auth_url(self) -> str:
        return str(self.auth.get("auth_url", ""))

    @property
    def now(self) -> float:
        """The time by the cloud's clock, as of its last answer."""
        return time.time() + self._ahead

    # --- servers ---

    def servers(self, launch: str = "") -> list[Server]:
        """Return the servers that we launched, all or those of one launch, by name."""
        tags = ",".join((marks.TAG, *([marks.launch_tag(launch)] if launch else [])))
        pages = self._pages("/servers/detail", "servers", {"tags": tags})
        # The filter is one of the service; what may be deleted must be ours in any case.
        found = (servers.of(one, self.project) for one in pages)
        ours = [one for one in found if one and (not launch or one.mark.launch == launch)]
        return sorted(ours, key=lambda one: (one.mark.group, one.created, one.name))

    def create(self, body: Json) -> str:
        """Create a server and return its id. Called once: after an error, a server may be there."""
        return str(self._nova("POST", "/servers", json=body, again=False)["server"]["id"])

    def delete(self, server: Server) -> None:
        """Delete a server that we launched; one that has gone is no error."""
        self._delete(f"/servers/{server.id}")

    def has_gone(self, id: str) -> bool:
        """Whether there is no server of this id."""
        from openstack import exceptions

        try:
            self._nova("GET", f"/servers/{id}")
        except exceptions.NotFoundException:
            return True
        return False

    def describe(self, server: Server, metadata: Mapping[str, str]) -> None:
        """Set metadata of a server that we launched."""
        self._nova("POST", f"/servers/{server.id}/metadata", json={"metadata": dict(metadata)})

    def forget(self, server: Server, key: str) -> None:
        """Remove a key from the metadata of a server; a server or a key that has gone is no error."""
        self._delete(f"/servers/{server.id}/metadata/{key}")

    def console(self, server: Server, lines: int) -> str:
        """Return the end of a server's console log; "" if there is none."""
        from openstack import exceptions

        action = {"os-getConsoleOutput": {"length": lines}}
        try:
            return str(self._nova("POST", f"/servers/{server.id}/action", json=action)["output"] or "")
        except (exceptions.NotFoundException, exceptions.ConflictException):
            return ""

    # --- server groups ---

    def create_server_group(self, name: str) -> str:
        body = {"server_group": {"name": name, "policies": ["soft-anti-affinity"]}}
        return str(self._nova("POST", "/os-server-groups", json=body, again=False)["server_group"]["id"])

    def server_groups(self) -> list[Json]:
        """Return the server groups that we made."""
        found = self._nova("GET", "/os-server-groups")["server_groups"]
        return [one for one in found if marks.launch_of_group(one["name"])]

    def delete_server_group(self, id: str) -> None:
        self._delete(f"/os-server-groups/{id}")

    # --- what a launch requires ---

    def limits(self, *, volumes: bool = False) -> Limits:
        """Return the limits of Nova; those of Cinder, too, if volumes are wanted.

        Raises BadInput: the cloud has no volumes.
        """
        found = self._nova("GET", "/limits")["limits"]["absolute"]
        if volumes:
            found = {**found, **self._volume_limits()}
        return Limits({name: value for name, value in found.items() if isinstance(value, int)})

    def _volume_limits(self) -> Json:
        if not self.connection.has_service("block-storage"):
            raise BadInput("The cloud has no volumes (no block storage).", "Omit --root-volume.")
        answer = self._call(self.connection.block_storage, "GET", "/limits", True)
        found: Json = answer.json()["limits"]["absolute"]
        return found

    def flavor(self, name: str) -> Flavor:
        """Return the flavor of this name or id. Raises BadInput."""
        found = list(self._pages("/flavors/detail", "flavors", {}))
        one = next((one for one in found if name in (one["name"], one["id"])), None)
        if one is None:
            known = sorted(one["name"] for one in found)
            hint = did_you_mean.hint([name], known, f"The flavors are {', '.join(known[:20])}.")
            raise BadInput(f"There is no flavor {scrub(name)!r}.", hint)
        return Flavor(one["id"], one["name"], one["vcpus"], one["ram"], one["disk"])

    def image(self, name: str) -> Image:
        """Return the image of this name or id. Raises BadInput: there is none, or there are several."""
        found = self._glance(f"/images?name=in:{_quoted(name)}&limit=50")["images"]
        found = found or self._glance(f"/images?id=in:{_quoted(name)}&limit=50")["images"]
        if len(found) != 1:
            raise self._no_image(name, found)
        return _image(found[0])

    def image_of(self, sha256: str) -> Image | None:
        """Return an image that was published with this content; the project's first, then the newest."""
        hidden = (f"/images?{SHA256}={sha256}&os_hidden={one}&limit=100" for one in ("false", "true"))
        pages = map(self._glance, hidden)
        found = [one for page in pages for one in page["images"] if _is_published(one, sha256)]
        found.sort(key=lambda one: (one["owner"] == self.project, not one["os_hidden"], one["created_at"]))
        return _image(found[-1]) if found else None

    def _no_image(self, name: str, found: list[Json]) -> BadInput:
        if found:
            ids = ", ".join(one["id"] for one in found)
            return BadInput(f"{len(found)} images have the name {scrub(name)!r}.", f"Use an id: {ids}.")
        known = [one["name"] for one in self._glance("/images?limit=200")["images"] if one["name"]]
        hint = "See: openstack image list. worker-bakery publish uploads an image."
        return BadInput(f"There is no image {scrub(name)!r}.", did_you_mean.hint([name], known, hint))

    def networks(self) -> list[Json]:
        found: list[Json] = self._neutron("GET", "/networks")["networks"]
        return found

    def security_group(self) -> tuple[str, bool]:
        """Return the id of our security group, and whether it has inbound rules; create it if missing."""
        query = f"/security-groups?name={SECURITY_GROUP}&project_id={self.project}"
        found = self._neutron("GET", query)["security_groups"]
        if found:
            rules = found[0]["security_group_rules"]
            return str(found[0]["id"]), any(rule["direction"] == "ingress" for rule in rules)
        about = {"name": SECURITY_GROUP, "description": "Workers: no inbound connections"}
        made = self._neutron("POST", "/security-groups", json={"security_group": about})["security_group"]
        return str(made["id"]), False

    def public_nova(self) -> str:
        """Return the address of Nova for servers: the public one of our region, with its version.

        Raises Refused: the catalogue has none.
        """
        connection = self.connection
        region = connection.config.get_region_name() or None
        found = connection.session.get_endpoint(
            service_type="compute", interface="public", region_name=region, version="2.1"
        )
        if not found:
            raise Refused("The cloud does not name a public address of Nova.", "Omit --on-idle delete.")
        return str(found).rstrip("/")

    # --- requests ---

    def keystone(self, method: str, path: str, **more: Any) -> Any:
        """Call Keystone, several times if it fails; the answer may have no content."""
        answer = self._call(self.connection.identity, method, path, True, **more)
        return answer.json() if answer.content else {}

    def _pages(self, path: str, key: str, query: Mapping[str, str]) -> Iterator[Json]:
        """Yield the items of all pages. Links of the service are not used: proxies may not reach them."""
        asked: dict[str, str] = {**query, "limit": str(_PAGE)}
        while page := self._nova("GET", path, params=asked)[key]:
            yield from page
            asked["marker"] = page[-1]["id"]

    def _delete(self, path: str) -> None:
        from openstack import exceptions

        try:
            self._nova("DELETE", path)
        except exceptions.NotFoundException:
            return

    def _nova(self, method: str, path: str, *, again: bool = True, **more: Any) -> Any:
        answer = self._call(self.connection.compute, method, path, again, microversion=_NOVA, **more)
        return answer.json() if answer.content else {}

    def _glance(self, path: str) -> Any:
        return self._call(self.connection.image, "GET", path, True).json()

    def _neutron(self, method: str, path: str, **more: Any) -> Any:
        return self._call(self.connection.network, method, path, method == "GET", **more).json()

    def _call(self, proxy: Any, method: str, path: str, again: bool, **more: Any) -> Any:
        from openstack import exceptions

        retries = _AGAIN if again else {"connect_retries": 0}
        # clouds.yaml may have a cache, which would show servers that have gone.
        answer = proxy.request(path, method, timeout=_TIMEOUT, skip_cache=True, **retries, **more)
        exceptions.raise_from_response(answer)
        self._ahead = _clock(answer.headers.get("Date", "")) - time.time()
        return answer


def _image(found: Json) -> Image:
    return Image(
        found["id"], found["name"] or found["id"], found["status"], found["min_disk"], found["min_ram"],
        found.get(KIND, ""),
    )  # fmt: skip


def _is_published(found: Json, sha256: str) -> bool:
    """Whether Glance has the content; an upload gets its name when its checksum was compared."""
    unfinished = (found["name"] or "").endswith(UPLOADING)
    return found.get(SHA256) == sha256 and found["status"] == "active" and not unfinished


def _quoted(name: str) -> str:
    """A name in a filter of Glance, which has commas between several."""
    from urllib.parse import quote

    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return quote(f'"{escaped}"')


def _clock(date: str) -> float:
    """The time of an answer; ours if it has none."""
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return time.time()
