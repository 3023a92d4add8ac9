"""The OSG worker, configured by /etc/osg-worker.conf, which may appear at any time."""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.roles.workers.runtime import runtime
from provisioner.steps import Step


def osg_worker(context: Context) -> tuple[Step, ...]:
    """The steps of the runtime for this kind."""
    return runtime(context, "OSG", "osg-worker")
