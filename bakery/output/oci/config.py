"""What a container of the image runs, and how: the image's configuration. Pure.

One configuration for both: Docker reads Healthcheck and StopSignal from it, which OCI's specification
does not forbid.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from bakery import __version__
from bakery.output.oci.layer import Layer
from provisioner.plan import Plan

# Docker's and Go's names of the base's architectures.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as OCI spells them
_WORKER = "/usr/lib/worker-bakery/worker"
_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
# What is written a lot, or is to outlive the container.
_VOLUMES = {
    "osg": ("/var/lib/condor", "/var/log/condor"),
    "prominence": ("/home", "/var/log/condor"),
}
_NANOSECONDS = 10**9


@dataclass(frozen=True)
class About:
    """What is said of the image beside its plan; `epoch` in seconds since 1970."""

    architecture: str  # as a base says it
    epoch: int


def config(plan: Plan, layer: Layer, about: About) -> dict[str, Any]:
    created = datetime.datetime.fromtimestamp(about.epoch, datetime.UTC).isoformat().replace("+00:00", "Z")
    return {
        "created": created,
        "architecture": ARCHITECTURES[about.architecture],
        "os": "linux",
        "config": {
            "Env": list(_ENV),
            "Entrypoint": [_WORKER, "run"],
            "WorkingDir": "/",
            "Volumes": {path: {} for path in _VOLUMES[plan.kind]},
            "Labels": labels(plan, created),
            "StopSignal": "SIGTERM",
            "Healthcheck": _healthcheck(),
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}"]},
        "history": [{"created": created, "created_by": f"bake-image --worker {plan.kind} --format oci"}],
    }


def labels(plan: Plan, created: str) -> dict[str, str]:
    """Those of OCI's image-spec, annotations.md; and the plan's id, which names the image."""
    return {
        "org.opencontainers.image.title": f"HTCondor worker ({plan.kind})",
        "org.opencontainers.image.version": plan.image,
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.base.name": plan.base,
        "worker-bakery.plan": plan.id,
        "worker-bakery.version": __version__,
    }


def _healthcheck() -> dict[str, Any]:
    """Unhealthy once HTCondor has not answered for some minutes; the worker itself gives up later."""
    return {
        "Test": ["CMD", _WORKER, "alive"],
        "Interval": 60 * _NANOSECONDS,
        "Timeout": 30 * _NANOSECONDS,
        "StartPeriod": 180 * _NANOSECONDS,
        "Retries": 3,
    }


def tag(plan: Plan) -> str:
    """The name that `docker load` gives the image: its kind, its base and its id."""
    return f"worker-bakery/{plan.kind}:{plan.base}-{plan.id[:12]}"
