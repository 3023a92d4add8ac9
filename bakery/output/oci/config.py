"""The configuration of a container image: what a container runs, and how. Pure.

The same configuration serves Docker, which reads Healthcheck from it; the OCI specification permits that.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from bakery import __version__
from bakery.output.oci.layer import Layer
from provisioner.plan import Plan

# Names of architectures in Go, Docker and OCI.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_WORKER = "/usr/lib/worker-bakery/worker"
_ENV = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
# Paths with much output, or with data that must survive the container.
_VOLUMES = {
    "osg": ("/var/lib/condor", "/var/log/condor"),
    "prominence": ("/home", "/var/lib/condor", "/var/log/condor"),
}
_NANOSECONDS = 10**9


@dataclass(frozen=True)
class About:
    """Properties of the image that are not in its plan; `epoch` in seconds since 1970."""

    architecture: str  # as in the base: x86_64, aarch64
    epoch: int


def config(plan: Plan, layer: Layer, about: About) -> dict[str, Any]:
    """Return the configuration as in OCI image-spec, config.md."""
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
    """Return the annotations of OCI image-spec, annotations.md, as far as they apply, and some of our own.

    base.name and base.digest are those of container images, and the base is none. The packages have many
    licenses, which the SBOM lists.
    """
    return {
        "org.opencontainers.image.title": f"HTCondor worker ({plan.kind})",
        "org.opencontainers.image.description": "Joins an HTCondor pool and runs the jobs of its Start.",
        "org.opencontainers.image.version": plan.image,
        "org.opencontainers.image.created": created,
        "worker-bakery.base": plan.base,
        "worker-bakery.base-id": plan.base_id,
        "worker-bakery.plan": plan.id,
        "worker-bakery.version": __version__,
    }


def _healthcheck() -> dict[str, Any]:
    """Unhealthy after HTCondor has not responded for some minutes; the worker itself exits later."""
    return {
        "Test": ["CMD", _WORKER, "alive"],
        "Interval": 60 * _NANOSECONDS,
        "Timeout": 30 * _NANOSECONDS,
        "StartPeriod": 180 * _NANOSECONDS,
        "Retries": 3,
    }


def tag(plan: Plan) -> str:
    """Return the name that `docker load` gives the image, from kind, base and id."""
    return f"worker-bakery/{plan.kind}:{plan.base}-{plan.id[:12]}"
