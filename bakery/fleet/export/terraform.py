"""A configuration of Terraform or OpenTofu, in HCL. Pure.

Source: the reference of the provider terraform-provider-openstack/openstack (compute_instance_v2,
compute_servergroup_v2, networking_secgroup_v2). The provider keeps only a hash of user_data in the state.
It would start a server again that is SHUTOFF, unless changes of power_state are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from bakery.fleet.export.files import USER_DATA, Export, File, slug, user_data
from bakery.fleet.plan import Plan

_HEAD = """\
# Written by worker-bakery fleet export terraform.
terraform {
  required_version = ">= 1.3"
  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = ">= 2.0, < 4.0"
    }
  }
}
"""
_SERVER_GROUPS = """\
# Nova limits the servers of a server group, and the groups of a project; further servers have none.
locals {{
  servers_per_group = {each}
  server_groups     = {number}
}}

resource "openstack_compute_servergroup_v2" "workers" {{
  count    = local.server_groups
  name     = "{tag}-${{count.index + 1}}"
  policies = ["soft-anti-affinity"]
}}
"""
_IN_GROUP = """
  dynamic "scheduler_hints" {
    for_each = floor(count.index / local.servers_per_group) < local.server_groups ? [1] : []
    content {
      group = openstack_compute_servergroup_v2.workers[floor(count.index / local.servers_per_group)].id
    }
  }
"""


def export(plan: Plan, cloud: str) -> Export:
    """Return the configuration, and the user-data that it reads."""
    files = (File("main.tf", configuration(plan, cloud)), user_data(plan))
    return Export(files, ("terraform", "-chdir=DIR", "init"))


def configuration(plan: Plan, cloud: str) -> str:
    """Return the text of main.tf; it has no secret."""
    parts = (_HEAD, _provider(cloud), _count(plan), _security_group(plan), _groups(plan), _servers(plan))
    return "\n".join(filter(None, parts))


def string(text: str) -> str:
    """Return text as a quoted template of HCL, in which nothing is evaluated."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _provider(cloud: str) -> str:
    return f'provider "openstack" {{\n  cloud = {string(cloud)}\n}}\n'


def _count(plan: Plan) -> str:
    return (
        'variable "workers" {\n  description = "Number of servers"\n  type        = number\n'
        f"  default     = {len(plan.names)}\n}}\n"
    )


def _security_group(plan: Plan) -> str:
    return (
        "# The rules that Neutron gives a new group allow outbound connections only.\n"
        'resource "openstack_networking_secgroup_v2" "workers" {\n'
        f"  name        = {string(plan.mark.tags[-1])}\n"
        '  description = "Workers: no inbound connections"\n}\n'
    )


def _groups(plan: Plan) -> str:
    if not plan.servers_per_group:
        return ""
    return _SERVER_GROUPS.format(
        each=plan.servers_per_group, number=len(plan.server_groups), tag=plan.mark.tags[-1]
    )


def _servers(plan: Plan) -> str:
    tags = ", ".join(map(string, plan.mark.tags))
    return f"""\
resource "openstack_compute_instance_v2" "workers" {{
  count           = var.workers
  name            = "{slug(plan)}-${{count.index + 1}}"
  image_id        = {string(plan.image.id)}
  flavor_id       = {string(plan.flavor.id)}
  user_data       = sensitive(file("${{path.module}}/{USER_DATA}"))
  security_groups = [openstack_networking_secgroup_v2.workers.name]
  tags            = [{tags}]

  metadata = {{
{_aligned(plan.mark.metadata)}
  }}

  network {{
    uuid = {string(plan.network)}
  }}
{_IN_GROUP if plan.servers_per_group else ""}
  # A worker without jobs shuts down, and is not started again.
  lifecycle {{
    ignore_changes = [power_state]
  }}
}}
"""


def _aligned(values: Mapping[str, str]) -> str:
    width = max(map(len, values))
    return "\n".join(f"    {name:<{width}} = {string(value)}" for name, value in values.items())
