"""A worker of the OSPool: says of itself what the jobs there ask for, and demands of jobs what pilots do.

What is said is tried on the machine, by `worker ospool` of the guest runtime; this role switches that on.
The roles apptainer and cvmfs come with it where the base has them (bakery/image/recipe.py).
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.roles.workers import ospool_data
from provisioner.steps import Files, Step

CONFIG = "/etc/condor/config.d/50-worker-ospool.config"


def ospool(context: Context) -> tuple[Step, ...]:
    return (
        *ospool_data.pelican(context),
        *ospool_data.CREDENTIALS,
        Files("configure HTCondor for the OSPool's jobs", context.ospool),
    )
