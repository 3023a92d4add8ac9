"""A template of OpenStack Heat. Pure.

Source: docs.openstack.org/heat (HOT specification, OpenStack resource types). Each server is a resource of
its own: OS::Heat::ResourceGroup would copy the user-data, and so the token, into a nested template, which
users of the project can read.
"""

from __future__ import annotations

from typing import Any

import yaml

from bakery.fleet.export.files import Export, File, slug
from bakery.fleet.plan import Plan

VERSION = "2018-08-31"
_TEMPLATE, _ENVIRONMENT = "workers.yaml", "environment.yaml"
_HEAD = "# Written by worker-bakery fleet export heat.\n"


def export(plan: Plan, cloud: str) -> Export:
    """Return the template, and the environment with the user-data."""
    environment = {"parameters": {"user_data": plan.user_data.decode()}}
    files = (
        File(_TEMPLATE, _HEAD + _dump(template(plan))),
        File(_ENVIRONMENT, _HEAD + _dump(environment), secret=True),
    )
    create = (
        "stack",
        "create",
        "-t",
        f"DIR/{_TEMPLATE}",
        "-e",
        f"DIR/{_ENVIRONMENT}",
        "--wait",
        slug(plan),
    )
    return Export(files, ("openstack", "--os-cloud", cloud, *create))


def template(plan: Plan) -> dict[str, Any]:
    """Return the template as data; it has no secret."""
    groups = {
        f"group-{number}": _resource("OS::Nova::ServerGroup", name=name, policies=["soft-anti-affinity"])
        for number, name in enumerate(plan.server_groups, 1)
    }
    servers = {f"worker-{place + 1}": _server(plan, place) for place in range(len(plan.names))}
    return {
        "heat_template_version": VERSION,
        "description": f"Workers of the group {plan.mark.group}",
        "parameters": {
            "user_data": {"type": "string", "hidden": True, "description": "User-data with the token"}
        },
        "resources": {"security-group": _security_group(plan), **groups, **servers},
    }


def _security_group(plan: Plan) -> dict[str, Any]:
    return _resource(
        "OS::Neutron::SecurityGroup",
        name=plan.mark.tags[-1],
        description="Workers: no inbound connections",
    )


def _server(plan: Plan, place: int) -> dict[str, Any]:
    group = plan.server_group(place)
    number = plan.server_groups.index(group) + 1 if group else 0
    hints = {"scheduler_hints": {"group": {"get_resource": f"group-{number}"}}} if group else {}
    return _resource(
        "OS::Nova::Server",
        name=plan.names[place],
        image=plan.image.id,
        flavor=plan.flavor.id,
        networks=[{"network": plan.network}],
        security_groups=[{"get_resource": "security-group"}],
        user_data={"get_param": "user_data"},
        user_data_format="RAW",
        metadata=plan.mark.metadata,
        tags=list(plan.mark.tags),
        **hints,
    )


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"type": kind, "properties": properties}


class _NoAliases(yaml.SafeDumper):
    """Writes equal values twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dump(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=_NoAliases, sort_keys=False, allow_unicode=True)
