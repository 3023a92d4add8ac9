"""The calls of Glance's Image API v2 that a publication makes, by a session of openstacksdk.

Source: docs.openstack.org/api-ref/image/v2. openstacksdk's own create_image adds properties with MD5, and
cannot upload to an image that exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bakery.publish.glance import properties
from bakery.publish.glance.data import Data

if TYPE_CHECKING:
    from openstack.connection import Connection

_PATCH = "application/openstack-images-v2.1-json-patch"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Images:
    """The images of the project of a connection. Methods raise the exceptions of openstacksdk."""

    connection: Connection

    def of_name(self, name: str) -> Iterator[Json]:
        """Yield the images of this project that publications of this name have made, hidden ones too."""
        for hidden in ("false", "true"):
            asked = {properties.NAME: name, "os_hidden": hidden, "owner": self._project, "limit": 100}
            url = f"/images?{urlencode(asked)}"
            while url:
                page = self._call("GET", url).json()
                # The filter is one of the service; what is deleted must be ours in any case.
                yield from (image for image in page["images"] if self._is_ours(image, name))
                url = page.get("next", "").removeprefix("/v2")

    @property
    def _project(self) -> str:
        return str(self.connection.current_project_id)

    def _is_ours(self, image: Json, name: str) -> bool:
        return image.get("owner") == self._project and image.get(properties.NAME) == name

    def get(self, id: str) -> Json:
        found: Json = self._call("GET", f"/images/{id}").json()
        return found

    def create(self, attributes: Json) -> str:
        """Create an image without data and return its id."""
        return str(self._call("POST", "/images", json=attributes).json()["id"])

    def upload(self, id: str, data: Data) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        self._call("PUT", f"/images/{id}/file", headers=headers, data=data)

    def change(self, id: str, attributes: Json) -> None:
        """Change attributes of an image, all at once."""
        there = self.get(id)
        changes = [
            {"op": "replace" if name in there else "add", "path": f"/{name}", "value": value}
            for name, value in attributes.items()
            if there.get(name) != value
        ]
        if changes:
            self._call("PATCH", f"/images/{id}", headers={"Content-Type": _PATCH}, json=changes)

    def delete(self, id: str) -> None:
        self._call("DELETE", f"/images/{id}")

    def members(self, id: str) -> frozenset[str]:
        """Return the ids of the projects with which a shared image is shared."""
        found = self._call("GET", f"/images/{id}/members").json()
        return frozenset(one["member_id"] for one in found["members"])

    def share(self, id: str, project: str) -> None:
        self._call("POST", f"/images/{id}/members", json={"member": project})

    def _call(self, method: str, url: str, **request: Any) -> Any:
        from openstack import exceptions

        answer = self.connection.image.request(url, method, **request)
        exceptions.raise_from_response(answer)
        return answer
