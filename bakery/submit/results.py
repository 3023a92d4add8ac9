"""Read from the folder of a DAG what has become of each image."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.submit import event_log
from bakery.submit.description import DAG, NODES, STATUS
from bakery.submit.event_log import Event
from provisioner.errors import BadInput, BakeryError
from provisioner.process.scrub import scrub

_JOB = re.compile(r"^JOB (\S+) ", re.MULTILINE)
# An ad of DAGMan's status file (HTCondor manual, "Capturing the Status of Nodes in a File").
_NODE = re.compile(r'Node = "([^"]*)";\s*NodeStatus = (\d+);')
_DONE, _FAILED = 5, (6, 7)
_LOG = f"{DAG}.dagman.log"  # the event log of DAGMan's own job
_OUT = f"{DAG}.dagman.out"
_COMPLAINT = re.compile(r"^\S+ \S+ (?:Warning|ERROR): (.*)", re.MULTILINE)
_TAIL_LINES = 3
_TAIL_BYTES = 1 << 16
_TAIL_WIDTH = 300  # characters of a line
# Exit codes, the worst first: a cause that nobody foresaw, a file that may have been changed, an image
# that fails its proof, input to correct, the machine, and last what another attempt may solve.
SEVERITY = (1, 7, 4, 2, 3, 6, 5)
BAKED, FAILED = "baked", "failed"


@dataclass(frozen=True, kw_only=True)
class NodeResult:
    """What has become of an image.

    `state` is BAKED, FAILED, or what the node is doing. `code` is the exit code of a failed node, else 0.
    `machine` is where its job was last started, `starts` how often jobs of the node were. `verified` is the
    highest verification level that was shown, or why none was; "" before it is baked. `detail` is the path
    of the image, or the reason of a failure.
    """

    node: str
    state: str
    code: int = 0
    machine: str = ""
    starts: int = 0
    verified: str = ""
    detail: str = ""
    manifest: Mapping[str, Any] | None = None


def read(folder: Path) -> list[NodeResult]:
    """Read the state of each node of a DAG. Raises BadInput: the folder has none of ours."""
    try:
        text = (folder / DAG).read_text()
    except OSError as error:
        raise BadInput(
            f"{folder} is not the folder of a DAG of worker-bakery: {error.strerror}.",
            "worker-bakery bake --submit prints the folder that it writes.",
        ) from None
    ended = has_ended(folder)
    statuses = {name: int(status) for name, status in _NODE.findall(_text(folder / STATUS))}
    return [_node(folder / NODES / name, statuses.get(name, 0), ended) for name in _JOB.findall(text)]


def is_submitted(folder: Path) -> bool:
    """Return whether condor_submit_dag was run in this folder."""
    return (folder / _LOG).exists()


def has_ended(folder: Path) -> bool:
    """Return whether the last DAGMan of this folder has left the queue."""
    log = list(event_log.events(_text(folder / _LOG)))
    submitted = [event.cluster for event in log if event.number == event_log.SUBMITTED]
    return bool(submitted) and event_log.has_ended(log, submitted[-1])


def worst(found: Sequence[NodeResult]) -> int:
    """The worst exit code of an image, in the order of SEVERITY; 0 if all are baked or still at work."""
    return min({result.code for result in found if result.code}, key=_rank, default=0)


def _rank(code: int) -> tuple[int, int]:
    return SEVERITY.index(code) if code in SEVERITY else len(SEVERITY), code


def _node(folder: Path, status: int, ended: bool) -> NodeResult:
    log = list(event_log.events(_text(folder / "job.log")))
    where, starts = event_log.machine(log), event_log.starts(log)
    if status == _DONE:
        return _baked(folder, where, starts)
    if status in _FAILED or ended:  # DAGMan was removed, or gave up
        code, reason = _failure(folder, log)
        return NodeResult(
            node=folder.name, state=FAILED, code=code, machine=where, starts=starts, detail=reason
        )
    state = event_log.state(log) or "waiting"
    reason = event_log.hold_reason(log) if state == "held" else ""
    return NodeResult(node=folder.name, state=state, machine=where, starts=starts, detail=reason)


def _baked(folder: Path, where: str, starts: int) -> NodeResult:
    _, output, path, _ = (folder / "collect").read_text().split("\n")
    manifest = _manifest(Path(path)) or _manifest(folder / "collected.json")
    unverified = _text(folder / "out/not-verified").strip()
    level = list((manifest or {}).get("proof", {}))[-1:]
    verified = level[0] if level else f"not verified: {unverified}" if unverified else "not verified"
    return NodeResult(
        node=folder.name,
        state=BAKED,
        machine=where,
        starts=starts,
        verified=verified,
        detail=output,
        manifest=manifest,
    )


def _manifest(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _failure(folder: Path, log: list[Event]) -> tuple[int, str]:
    """The exit code of the last attempt, and its reason in words."""
    ended = _text(folder / "ended").split()  # attempt, $RETURN and exit code of each
    code = int(ended[-1]) if ended else BakeryError.exit_code
    returned = int(ended[-2]) if ended else 0
    if held := event_log.hold_reason(log):
        return code, f"The job was held: {held}"
    if ended and returned == 0:
        return code, _last_lines(_text(folder / "collect.log"))
    return code, _of_job(folder, log) or _of_dagman(folder.parent.parent)


def _of_job(folder: Path, log: list[Event]) -> str:
    """The error that the last job has printed, else its last lines, else why it was removed."""
    errors = sorted(folder.glob("job.*.err"), key=lambda path: int(path.name.split(".")[1]))
    text = _text(errors[-1]) if errors else ""
    removed = [event.lines[-1] for event in log if event.number == event_log.ABORTED]
    why = f"The job was removed: {removed[-1]}" if removed else ""
    return _error(text) or _last_lines(text) or why


def _of_dagman(folder: Path) -> str:
    """Why DAGMan has given up, if it says so."""
    found = _COMPLAINT.findall(_text(folder / _OUT))
    return scrub("DAGMan: " + " ".join(found[-2:])) if found else f"No job has ended; see {folder / _OUT}."


def _error(text: str) -> str:
    """The last error among the events that `worker-bakery bake --json` prints on stderr."""
    for event in _json_lines(reversed(text.splitlines())):
        if event.get("event") == "error":
            return scrub(f"{event.get('message', '')} {event.get('hint', '')}".strip())
    return ""


def _json_lines(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _last_lines(text: str) -> str:
    lines = [line.strip()[:_TAIL_WIDTH] for line in text.splitlines() if line.strip()]
    return scrub("\n".join(lines[-_TAIL_LINES:]))


def _text(path: Path) -> str:
    """The end of a file that a job or DAGMan writes; "" if there is none yet."""
    try:
        with path.open("rb") as data:
            size = data.seek(0, 2)
            data.seek(max(0, size - _TAIL_BYTES) if path.suffix == ".err" else 0)
            return data.read().decode("utf-8", "replace")
    except OSError:
        return ""
