"""The configuration of COBalD/TARDIS, which launches and deletes workers as jobs require. Pure.

Source: tardis.readthedocs.io (configuration; adapters of sites and batch systems) and the code of
cobald-tardis 0.9. Its OpenStack adapter passes MachineTypeConfiguration to Nova's "Create Server" (2.1,
without tags and scheduler hints) and gives a server the UUID of its drone as its name. Its HTCondor adapter
finds the drone in the pool by the attribute TardisDroneUuid, which our worker advertises if the metadata of
its server has DRONE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bakery.fleet import marks
from bakery.fleet.export.files import USER_DATA, Export, File, slug, user_data
from bakery.fleet.plan import SECURITY_GROUP, Plan
from provisioner.errors import BadInput

DRONE = {f"{marks.PREFIX}drone": "tardis"}  # worker_runtime/configuration/instance.py reads it
_PASSWORD = ("username", "password", "project_name", "user_domain_name", "project_domain_name")
_CREDENTIAL = ("application_credential_id", "application_credential_secret")
_AT_ONCE = 10  # a tenth of the drones boots at the same time
_SECONDS = 10  # for each drone more or less
_HEAD = "# Written by worker-bakery fleet export tardis.\n"
# The share of a partitionable slot that its dynamic slots have, of cores or memory, whichever is scarcer.
# With a ratio for each, TARDIS takes the smaller one as the utilisation: jobs that need cores and little
# memory would never be a reason for more workers.
_RATIOS = {
    "busy": "max({Real(TotalSlotCpus-Cpus)/TotalSlotCpus, Real(TotalSlotMemory-Memory)/TotalSlotMemory})"
}


def export(plan: Plan, auth: Mapping[str, Any], folder: Path) -> Export:
    """Return the files; `auth` is that of clouds.yaml, `folder` where the files will be, absolute.

    Raises BadInput: the credential is none that TARDIS can use.
    """
    tardis = _tardis(plan, credential(auth), folder)
    files = (
        File("cobald.yaml", _HEAD + _dump(_cobald(plan, folder), _Tags)),
        File("tardis.yaml", _HEAD + _dump(tardis, yaml.SafeDumper), secret=True),
        user_data(plan),
    )
    return Export(files, ("python3", "-m", "cobald.daemon", "DIR/cobald.yaml"))


def credential(auth: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of clouds.yaml that TARDIS requires. Raises BadInput."""
    for names in (_CREDENTIAL, _PASSWORD):
        if all(auth.get(name) for name in names):
            url = str(auth["auth_url"]).rstrip("/")
            # TARDIS adds /auth/tokens.
            url = url if url.endswith("/v3") else f"{url}/v3"
            return {"auth_url": url, **{name: str(auth[name]) for name in names}}
    raise BadInput(
        f"TARDIS requires {' and '.join(_CREDENTIAL)}, or {', '.join(_PASSWORD[:-1])} and {_PASSWORD[-1]}.",
        "Create an application credential in the cloud's dashboard, and use its clouds.yaml.",
    )


def site_of(plan: Plan) -> str:
    """Return the name of the site, with which the names of its servers begin.

    TARDIS reads it as an attribute of a dictionary: without the dash, it could be that of a method.
    """
    return f"fleet-{slug(plan).removesuffix(f'-{plan.mark.launch}')}"


class _Tag(dict[str, Any]):
    """A mapping with a tag of YAML."""

    def __init__(self, tag: str, **values: Any) -> None:
        super().__init__(values)
        self.tag = tag


class _Tags(yaml.SafeDumper):
    """Writes mappings with tags."""


_Tags.add_representer(_Tag, lambda dumper, data: dumper.represent_mapping(data.tag, dict(data)))


def _cobald(plan: Plan, folder: Path) -> dict[str, Any]:
    """The pipeline, from the decision to the servers; demand is in cores."""
    cores, most = plan.flavor.vcpus, len(plan.names)
    limits = {
        # Without a drone there is no allocation, and no reason for more.
        "minimum": cores,
        "maximum": cores * most,
        "granularity": cores,
        # More than the supply, which has no drones that boot. Without drones COBalD takes allocation as 1,
        # and would launch all of them before the first is there.
        "surplus": cores * -(-most // _AT_ONCE),
    }
    return {
        "pipeline": [
            _Tag("!LinearController", low_utilisation=0.5, high_allocation=0.9, rate=cores / _SECONDS),
            _Tag("!Limiter", **limits),
            _Tag("!Logger", name="changes"),
            _Tag("!TardisPoolFactory", configuration=str(folder / "tardis.yaml")),
        ]
    }


def _tardis(plan: Plan, access: Mapping[str, str], folder: Path) -> dict[str, Any]:
    site, flavor = site_of(plan), plan.flavor
    quota = flavor.vcpus * len(plan.names)
    return {
        "Plugins": {"SqliteRegistry": {"db_file": str(folder / "drones.db")}},
        "BatchSystem": {
            "adapter": "HTCondor",
            "max_age": 1,
            "ratios": _RATIOS,
            "options": {"pool": plan.mark.pool.partition(",")[0]},
        },
        "Sites": [{"name": site, "adapter": "OpenStack", "quota": quota}],
        site: {
            **access,
            "MachineTypes": [flavor.name],
            "MachineTypeConfiguration": {flavor.name: _server(plan, folder)},
            "MachineMetaData": {
                flavor.name: {"Cores": flavor.vcpus, "Memory": flavor.ram / 1024, "Disk": flavor.disk}
            },
        },
    }


def _server(plan: Plan, folder: Path) -> dict[str, Any]:
    """What Nova receives besides the name; TARDIS reads the user-data from the file."""
    metadata = plan.mark.metadata
    group = f"{marks.PREFIX}group"
    return {
        "flavorRef": plan.flavor.id,
        "imageRef": plan.image.id,
        "networks": [{"uuid": plan.network}],
        "security_groups": [{"name": SECURITY_GROUP}],
        "metadata": {**DRONE, group: metadata[group]},
        "user_data": str(folder / USER_DATA),
    }


def _dump(data: Mapping[str, Any], dumper: type[yaml.SafeDumper]) -> str:
    return yaml.dump(data, Dumper=dumper, sort_keys=False, allow_unicode=True)
