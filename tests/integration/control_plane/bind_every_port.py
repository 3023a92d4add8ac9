"""A mechanism driver of Neutron's ML2 that binds every port: there is no agent and no switch here.

Neutron finds it by the entry point in bind_every_port-1.dist-info. Its environment has neutron_lib, ours
has not.
"""

from __future__ import annotations

from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api


class Driver(api.MechanismDriver):  # type: ignore[misc]  # neutron_lib is Any here
    """Binds a port to the first segment of its network."""

    def initialize(self) -> None:
        return

    def bind_port(self, context: Any) -> None:
        segment = context.segments_to_bind[0]
        context.set_binding(
            segment[api.ID], portbindings.VIF_TYPE_OTHER, {}, status=constants.PORT_STATUS_ACTIVE
        )
