"""Each kind of obstacle, and the function that explains it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from bakery.status.why import conditions, resources, states
from bakery.status.why.findings import Finding, Scope
from bakery.status.why.obstacles import Kind

_REMOVE = "Change or remove this condition in the job's requirements, or start other workers."
_EXPLAIN: Mapping[Kind, Callable[[Scope], Finding]] = {
    "memory": partial(resources.too_large, "memory"),
    "cpus": partial(resources.too_large, "cpus"),
    "disk": partial(resources.too_large, "disk"),
    "gpus": resources.gpus,
    "project": partial(conditions.of_start, "project"),
    "start": partial(conditions.of_start, "start"),
    "start-false": states.start_false,
    "start-error": states.start_error,
    "system": partial(conditions.of_job, "system", _REMOVE),
    "requirements": partial(conditions.of_job, "requirements", _REMOVE),
    "container": partial(
        conditions.of_job,
        "container",
        "Bake the image of the workers --with apptainer, or submit the job without a container.",
    ),
    "file-transfer": partial(
        conditions.of_job,
        "file-transfer",
        "Let HTCondor transfer the files (should_transfer_files = YES), without this condition in "
        "requirements.",
    ),
    "retiring": states.retiring,
    "draining": states.draining,
    "unhealthy": states.unhealthy,
    "owner": states.owner,
    "silent": states.silent,
}


def of(scope: Scope) -> Finding:
    """Explain an obstacle."""
    return _EXPLAIN[scope.obstacle.kind](scope)
