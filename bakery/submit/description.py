"""The texts of a DAG: its description for DAGMan, and the one submit description of its jobs.

No text of a user is quoted for DAGMan or for condor_submit but the values of SubmitOptions, which are
submit language, and node names, which need no quotes. What a job needs to know is in files beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from bakery.submit.images import JobImage
from provisioner import did_you_mean
from provisioner.errors import BadInput

DAG, SUBMIT, STATUS = "bake.dag", "bake.sub", "bake.dag.status"
JOB_SCRIPT, POST_SCRIPT = "bake-image.sh", "collect-image.sh"
NODES = "nodes"
PROGRAM = "worker-bakery"
_STATUS_SECONDS = 10  # between two updates of the status file
# What execute nodes call their processors: the ClassAd attribute Arch.
_ARCH: Mapping[str, str] = MappingProxyType({"x86_64": "X86_64", "aarch64": "aarch64"})
_KEY = re.compile(r"(?:\+|(?i:my)\.)?[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PATH = re.compile(r"[A-Za-z0-9._/+@:=,~-]+")  # needs no quotes, and begins no macro

# On hold for another reason than its owner's wish (1: condor_hold, 15: submitted on hold, 16: spooling;
# HTCondor manual, "Hold Reason Codes"), a job has failed: DAGMan would wait for it for ever.
_REMOVE = "JobStatus == 5 && !member(HoldReasonCode, {1, 15, 16})"
# When an execute node vanishes, the schedd waits that long for it before it runs the job elsewhere.
_LEASE_SECONDS = 600

_OURS = frozenset({
    "universe", "container_image", "docker_image", "executable", "arguments", "initialdir",
    "transfer_input_files", "transfer_output_files", "transfer_output_remaps", "should_transfer_files",
    "when_to_transfer_output", "transfer_executable", "preserve_relative_paths", "output", "error", "log",
    "docker_override_entrypoint", "queue", "input", "job_batch_name", "batch_name",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """Where and how the jobs run.

    `program` is worker-bakery on an execute node: its absolute path, or "" where nodes advertise
    HasWorkerBakery and have it on the PATH of jobs. `container` is an image for the container universe.
    `retries` is the number of further attempts of a node. `commands` are submit commands that replace
    ours or are added, by key; `requirements` is ANDed onto ours.
    """

    program: str = ""
    container: str = ""
    retries: int = 2
    commands: Mapping[str, str] = field(default_factory=dict)


def parse_commands(texts: Iterable[str]) -> Mapping[str, str]:
    """Parse `KEY = VALUE` of --submit-command; a later one replaces an earlier one.

    Raises BadInput: a text is no submit command, or one that worker-bakery sets itself.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, between, value = (part.strip() for part in text.partition("="))
        if not between or not value or not _KEY.fullmatch(key):
            raise BadInput(f"--submit-command {text!r} is not KEY = VALUE.")
        if _CONTROL.search(text) or value.endswith("\\"):
            raise BadInput(f"--submit-command {text!r} must be one line without a backslash at its end.")
        if key.lower() in _OURS:
            raise BadInput(f"--submit-command cannot set {key}.", "worker-bakery sets it itself.")
        found[key.lower() if key[0] != "+" and "." not in key else key] = value
    return found


def check(options: SubmitOptions) -> None:
    """Raises BadInput: the program or the container image cannot be written into a submit description."""
    for option, value in (("--submit-program", options.program), ("--submit-container", options.container)):
        if value and not _PATH.fullmatch(value):
            raise BadInput(f"{option} {value!r} has a character that is not supported.")
    if options.program and not options.container and not options.program.startswith("/"):
        raise BadInput("--submit-program must be an absolute path.", "It is a path on the execute nodes.")


def dag(images: Sequence[JobImage], retries: int) -> str:
    """The description for condor_submit_dag, which must run in the folder of the DAG.

    A node fails with the exit code of its POST script. Exit code 2 is bad input: another attempt would
    fail, too.
    """
    lines = [
        "# worker-bakery bake --submit: one node for each image. Submit it in this folder:",
        f"#     condor_submit_dag {DAG}",
        f"NODE_STATUS_FILE {STATUS} {_STATUS_SECONDS}",
    ]
    for image in images:
        lines += ["", *_node(image, retries)]
    return "\n".join(lines) + "\n"


def _node(image: JobImage, retries: int) -> Sequence[str]:
    node = image.node
    return (
        f"JOB {node} {SUBMIT}",
        f'VARS {node} node="$(JOB)" attempt="$(RETRY)" arch="{_arch(image)}"',
        f"SCRIPT POST {node} ./{POST_SCRIPT} $JOB $RETURN $RETRY",
        f"RETRY {node} {retries} UNLESS-EXIT {BadInput.exit_code}",
    )


def _arch(image: JobImage) -> str:
    """Raises BadInput."""
    try:
        return _ARCH[image.architecture]
    except KeyError:
        hint = did_you_mean.did_you_mean(image.architecture, _ARCH)
        raise BadInput(f"{image.label}: no pool has machines of {image.architecture!r}.", hint) from None


def submit_description(options: SubmitOptions) -> str:
    """The submit description of all nodes. Relative paths are in the folder of the node (initialdir)."""
    commands = {
        **_universe(options),
        "executable": JOB_SCRIPT,
        "initialdir": f"{NODES}/$(node)",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_input_files": "arguments, inputs.tar",
        "transfer_output_files": "out",
        "output": "job.$(attempt).out",
        "error": "job.$(attempt).err",
        "log": "job.log",
        "request_cpus": "2",
        "request_memory": "3GB",
        "request_disk": "10GB",
        "job_lease_duration": str(_LEASE_SECONDS),
        "periodic_remove": _REMOVE,
        **options.commands,
        "requirements": _requirements(options),
    }
    lines = (f"{key} = {value}" for key, value in commands.items())
    return "\n".join(("# The job of every node of the DAG.", *lines, "queue")) + "\n"


def _universe(options: SubmitOptions) -> Mapping[str, str]:
    if not options.container:
        return {"universe": "vanilla"}
    image = {"universe": "container", "container_image": options.container}
    # Docker would pass our script to the entry point of the image, as its first argument.
    docker = options.container.startswith("docker://")
    return {**image, "docker_override_entrypoint": "True"} if docker else image


def _requirements(options: SubmitOptions) -> str:
    """Naming Arch replaces what condor_submit would add: the Arch of the access point."""
    parts = ['(TARGET.Arch == "$(arch)")']
    if not options.program and not options.container:
        parts.append("(TARGET.HasWorkerBakery =?= True)")
    if "requirements" in options.commands:
        parts.append(f"({options.commands['requirements']})")
    return " && ".join(parts)


def arguments(image: JobImage, program: str) -> str:
    """The file `arguments` of a node, which its job reads line by line."""
    return "".join(f"{line}\n" for line in (program or PROGRAM, image.level, image.image, *image.arguments))


def collect(image: JobImage) -> str:
    """The file `collect` of a node, which its POST script reads line by line."""
    return "".join(f"{line}\n" for line in (image.image, image.output, image.manifest))
