"""Install the guest runtime, which all kinds of workers share. It waits for the worker's file."""

from __future__ import annotations

from provisioner.roles import Context, selinux
from provisioner.steps import Files, Service, Step


def runtime(context: Context, title: str, name: str) -> tuple[Step, ...]:
    """The steps. `title` is the kind's name for users; `name` that of its units, as in kind.json."""
    return (
        Files(f"install the {title} worker's runtime", context.files_not_under("/etc/condor")),
        *selinux.policy(context),
        Service("worker-life.service", "enable"),
        Service(f"{name}.path", "enable"),
        Service(f"{name}.service", "enable"),
    )
