"""The guest runtime, the same for all kinds of workers: it waits for the worker's file, and follows it."""

from __future__ import annotations

from provisioner.roles import Context, selinux
from provisioner.steps import Files, Service, Step


def runtime(context: Context, title: str, name: str) -> tuple[Step, ...]:
    """`name` is that of the kind's units, and stands in its kind.json."""
    return (
        Files(f"install the {title} worker's runtime", context.files_not_under("/etc/condor")),
        *selinux.policy(context),
        Service("worker-life.service", "enable"),
        Service(f"{name}.path", "enable"),
        Service(f"{name}.service", "enable"),
    )
