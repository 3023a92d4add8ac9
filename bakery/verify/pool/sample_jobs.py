"""The configuration of a worker in a throw-away pool, a job it must run, and a job it must reject."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakery.userdata import guest
from bakery.userdata.rendering import KINDS, WorkerConf, conf_text, start_expression
from bakery.verify.pool.throwaway_pool import ADDRESS, Shape, classad_string
from provisioner.errors import BadInput

PROJECT, FOREIGN_PROJECT = "TG-PROOF01", "TG-SOMEBODY-ELSE"
SITE = "Proof-Site"
OSPOOL_TABLE = Path("usr/lib/worker-bakery/ospool.json")  # of an image with the role ospool
JOB_ID, FOREIGN_JOB_ID = "5e1f-1700000000", "0ff5-1700000000"


@dataclass(frozen=True)
class Job:
    """A job's title in messages, and the additional commands of its submit file."""

    title: str
    commands: Mapping[str, str]


@dataclass(frozen=True)
class SampleJobs:
    """A worker's configuration, the job that it must run and the job that it must reject.

    The machine ClassAd's attribute `name_attribute` has the worker's name; `advertised` are the attributes
    that it must have.
    """

    conf: WorkerConf
    name_attribute: str
    matching: Job
    foreign: Job
    advertised: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The path of the worker's file in the image."""
        return guest.kind_of(self.conf.kind).file

    @property
    def condor_host(self) -> str:
        """HTCondor's CONDOR_HOST: the central managers without their ports."""
        return ",".join(manager.partition(":")[0] for manager in self.conf.central_manager.split(","))

    @property
    def start(self) -> str:
        """The Start expression of the worker's file, as the guest runtime reads it."""
        return guest.job_requirements(conf_text(self.conf).encode(), self.conf.kind)


def worker_kind(root: Path) -> str:
    """Return the kind of worker in an image's root directory. Raises BadInput: it has none."""
    try:
        name = str(json.loads((root / "usr/lib/worker-bakery/kind.json").read_text())["name"])
    except (OSError, ValueError, KeyError):
        name = ""
    kind = name.removesuffix("-worker")
    if kind not in KINDS:
        raise BadInput("The image is not a worker image of this version.", "Bake it again.")
    return kind


def make_sample_jobs(kind: str, name: str, token: str, settings: Mapping[str, str]) -> SampleJobs:
    """Return the sample jobs of a worker that has this name.

    `settings` are further settings of the worker's file that every kind has (IdleTimeout…).
    """
    return {"osg": _osg, "prominence": _prominence}[kind](name, token, settings)


def adapt_to_ospool(samples: SampleJobs, shape: Shape, *, has_role: bool) -> SampleJobs:
    """Adapt sample jobs to a pool of this shape, with submit commands from the OSPool's documentation.

    With the role `ospool` the jobs also require attributes that only such a worker advertises. Raises
    BadInput: the kind of worker cannot join the OSPool.
    """
    if samples.conf.kind != "osg":
        raise BadInput(
            "A worker of this kind cannot join the OSPool.", "Verify it with --pool-shape plain."
        )
    servers = {"CCBAddress": ",".join(shape.brokers), "TrustDomain": shape.trust_domain}
    site = {"SiteName": SITE} if has_role else {}
    conf = replace(
        samples.conf,
        central_manager=",".join(shape.managers),
        settings={**samples.conf.settings, **servers, **site},
    )
    commands = _ospool_commands(has_role)
    matching, foreign = (
        Job(f"{job.title} as in the OSPool's documentation", {**job.commands, **commands})
        for job in (samples.matching, samples.foreign)
    )
    return replace(samples, conf=conf, matching=matching, foreign=foreign)


def _ospool_commands(has_role: bool) -> dict[str, str]:
    """Submit commands as in osg-htc/user-documentation: requests with units, duration, system, site."""
    plain = {
        "request_memory": "512 MB",
        "request_disk": "256 MB",
        "+JobDurationCategory": classad_string("Medium"),
        "requirements": 'Arch == "X86_64"',
    }
    if not has_role:
        return plain
    of_role = {
        "+DESIRED_Sites": classad_string(f"Elsewhere,{SITE}"),
        "requirements": 'isString(OSGVO_OS_STRING) && Arch == "X86_64" && GLIDEIN_Site == "' + SITE + '"',
    }
    return {**plain, **of_role}


def _osg(name: str, token: str, settings: Mapping[str, str]) -> SampleJobs:
    conf = WorkerConf(
        token=token,
        start=start_expression(projects=[PROJECT]),
        group_name=name,
        central_manager=ADDRESS,
        settings=settings,
    )
    matching, foreign = (
        Job(f"a job of {project}", _attribute("ProjectName", project))
        for project in (PROJECT, FOREIGN_PROJECT)
    )
    return SampleJobs(conf, "WorkerGroupName", matching, foreign, {"WorkerGroupName": name})


def _prominence(name: str, token: str, settings: Mapping[str, str]) -> SampleJobs:
    labels = {"Cloud": name, "Region": "Here", "NodeGroup": "Bakers"}
    conf = WorkerConf(
        kind="prominence",
        token=token,
        central_manager=ADDRESS,
        settings={**labels, "JobId": JOB_ID, **settings},
    )
    matching, foreign = (
        Job(f"the job {job_id}", _attribute("ProminenceWantCluster", job_id))
        for job_id in (JOB_ID, FOREIGN_JOB_ID)
    )
    advertised = {f"Prominence{key}": labels[key] for key in labels}
    return SampleJobs(conf, "ProminenceCloud", matching, foreign, advertised)


def _attribute(name: str, value: str) -> dict[str, str]:
    return {f"+{name}": classad_string(value)}
