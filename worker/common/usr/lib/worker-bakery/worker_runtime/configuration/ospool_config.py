"""The settings of an image with the role ospool, derived from the worker's file and the cloud. Pure.

The names are those of the OSPool's own pilots; docs/ospool.md says which of them are used and why others
are not. What the machine itself offers is in the package ospool.
"""

import re
from typing import Any, Dict, Mapping, Tuple

GUARDS = "WORKER_POOL_GUARDS"  # 50-worker-ospool.config
# Prefix of a region -> its country. The regions of Jetstream2 have the names of universities.
_COUNTRIES = {"us-": "US", "ca-": "CA"}
_JETSTREAM = ("IU", "TACC", "ASU", "CORNELL", "UH")
_PROJECT = re.compile(r'ProjectName\s*=[=?]=?\s*"([^"\\]+)"', re.IGNORECASE)
_MAX_LENGTH = 63


def guards(kind: Any, values: Mapping[str, str]) -> Tuple[str, ...]:
    """The macro with the pilots' requirements on jobs, if PoolGuards enables it."""
    return (GUARDS,) if kind.ospool and values.get("PoolGuards") == "yes" else ()


def with_default_names(kind: Any, values: Mapping[str, str], machine: Mapping[str, str]) -> Dict[str, str]:
    """The values with default names of the site, the resource and the country where the user sets none.

    `machine` has the attributes of the cloud. Unknown names stay empty.
    """
    if not kind.ospool or not values:
        return dict(values)
    provider, region = machine.get("CloudProvider", ""), machine.get("CloudRegion", "")
    project = _PROJECT.search(values.get("Start", ""))
    site = values["SiteName"] or sanitize("%s-%s" % (provider, region)) or "cloud"
    more = project.group(1) if project else values["WorkerGroupName"]
    defaults = {
        "SiteName": site,
        "ResourceName": sanitize("%s-%s" % (site, more)),
        "Country": country(region),
    }
    return dict(values, **{name: values[name] or default for name, default in defaults.items()})


def sanitize(name: str) -> str:
    """The name without characters that neither a site (values.py) nor a host may have."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:_MAX_LENGTH].rstrip("-.")


def country(region: str) -> str:
    """The country of a cloud region; "" if the name of the region does not tell."""
    if region.upper() in _JETSTREAM:
        return "US"
    return next((code for start, code in _COUNTRIES.items() if region.startswith(start)), "")


def attributes(kind: Any, values: Mapping[str, str], found: Mapping[str, str]) -> Dict[str, str]:
    """What the slots advertise in addition to `found`: attribute -> ClassAd text."""
    if not kind.ospool:
        return {}
    managers = values["CentralManager"].lower()
    more = {"Is_ITB_Site": str("." + kind.ospool["itb"] in managers)}
    if "OSPool" not in found and "." + kind.ospool["production"] in managers:
        more["OSPool"] = "True"
    if "WorkerEnds" in found:
        more.update(GLIDEIN_ToRetire=found["WorkerRetires"], GLIDEIN_ToDie=found["WorkerEnds"])
    return more
