"""An OSG worker: takes /etc/osg-worker.conf whenever it appears."""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.roles.workers.runtime import runtime
from provisioner.steps import Step


def osg_worker(context: Context) -> tuple[Step, ...]:
    return runtime(context, "OSG", "osg-worker")
