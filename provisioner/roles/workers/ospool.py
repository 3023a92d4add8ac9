"""An OSPool worker: advertises the attributes that OSPool jobs require, with the requirements of pilots.

`worker ospool` of the guest runtime tests each feature on the machine before it is advertised; this role
enables that. It includes the roles apptainer and cvmfs if the base has the packages
(bakery/image/recipe.py).
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.roles.workers import ospool_data
from provisioner.steps import Files, Step

CONFIG = "/etc/condor/config.d/50-worker-ospool.config"


def ospool(context: Context) -> tuple[Step, ...]:
    """The steps: Pelican's plugin, credentials directory, HTCondor configuration."""
    return (
        *ospool_data.pelican(context),
        *ospool_data.CREDENTIALS,
        Files("configure HTCondor for OSPool jobs", context.ospool),
    )
