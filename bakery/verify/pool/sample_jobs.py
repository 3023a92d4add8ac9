"""How each kind of worker is tried in a pool: what it is told, a job that it is to take, and one not."""

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
    """Its name in words, and further commands of its submit file."""

    title: str
    commands: Mapping[str, str]


@dataclass(frozen=True)
class Trial:
    """The worker is found by the attribute `found_by`, whose value is its name."""

    conf: WorkerConf
    found_by: str
    matching: Job
    foreign: Job
    advertised: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Where the worker reads its configuration."""
        return guest.kind_of(self.conf.kind).file

    @property
    def condor_host(self) -> str:
        """CONDOR_HOST of HTCondor's configuration: the managers without ports."""
        return ",".join(one.partition(":")[0] for one in self.conf.central_manager.split(","))

    @property
    def wanted(self) -> str:
        """What the worker demands of jobs, as its own runtime says it."""
        return guest.wanted(conf_text(self.conf).encode(), self.conf.kind)


def kind_of(root: Path) -> str:
    """Of the image with this root directory. Raises BadInput for what is no worker image of ours."""
    try:
        name = str(json.loads((root / "usr/lib/worker-bakery/kind.json").read_text())["name"])
    except (OSError, ValueError, KeyError):
        name = ""
    kind = name.removesuffix("-worker")
    if kind not in KINDS:
        raise BadInput("The image is not one of a worker that this version knows.", "Bake it anew.")
    return kind


def trial(kind: str, name: str, token: str, settings: Mapping[str, str]) -> Trial:
    """`settings` are those of every kind: IdleTimeout and so on."""
    return {"osg": _osg, "prominence": _prominence}[kind](name, token, settings)


def like_ospool(tried: Trial, shape: Shape, *, has_role: bool) -> Trial:
    """In a pool of this shape, with jobs as the OSPool's user documents have them.

    With the role `ospool` the jobs ask, too, for what only such a worker says of itself. Raises BadInput
    for a worker that is not of the OSPool.
    """
    if tried.conf.kind != "osg":
        raise BadInput("This worker joins no OSPool.", "Verify it with --pool-shape plain.")
    servers = {"CCBAddress": ",".join(shape.brokers), "TrustDomain": shape.trust_domain}
    site = {"SiteName": SITE} if has_role else {}
    conf = replace(
        tried.conf,
        central_manager=",".join(shape.managers),
        settings={**tried.conf.settings, **servers, **site},
    )
    commands = _as_in_guides(has_role)
    matching, foreign = (
        Job(f"{job.title} in the manner of the OSPool's guides", {**job.commands, **commands})
        for job in (tried.matching, tried.foreign)
    )
    return replace(tried, conf=conf, matching=matching, foreign=foreign)


def _as_in_guides(has_role: bool) -> dict[str, str]:
    """osg-htc/user-documentation: units with requests, a duration, an operating system, a site."""
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


def _osg(name: str, token: str, settings: Mapping[str, str]) -> Trial:
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
    return Trial(conf, "WorkerGroupName", matching, foreign, {"WorkerGroupName": name})


def _prominence(name: str, token: str, settings: Mapping[str, str]) -> Trial:
    place = {"Cloud": name, "Region": "Here", "NodeGroup": "Bakers"}
    conf = WorkerConf(
        kind="prominence",
        token=token,
        central_manager=ADDRESS,
        settings={**place, "JobId": JOB_ID, **settings},
    )
    matching, foreign = (
        Job(f"the job {one}", _attribute("ProminenceWantCluster", one)) for one in (JOB_ID, FOREIGN_JOB_ID)
    )
    advertised = {f"Prominence{key}": place[key] for key in place}
    return Trial(conf, "ProminenceCloud", matching, foreign, advertised)


def _attribute(name: str, value: str) -> dict[str, str]:
    return {f"+{name}": classad_string(value)}
