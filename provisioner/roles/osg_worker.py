"""The guest runtime of an OSG worker: takes /etc/osg-worker.conf whenever it appears."""

from __future__ import annotations

from provisioner.roles import Context, selinux
from provisioner.steps import Files, Service, Step


def osg_worker(context: Context) -> tuple[Step, ...]:
    return (
        Files("install the OSG worker's runtime", context.files_not_under("/etc/condor")),
        *selinux.policy(context),
        Service("worker-life.service", "enable"),
        Service("osg-worker.path", "enable"),
        Service("osg-worker.service", "enable"),
    )
