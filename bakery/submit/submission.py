"""Submit the folder of a DAG with condor_submit_dag, and wait until DAGMan has ended."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path

from bakery.runtime import conditions
from bakery.runtime.conditions import Condition
from bakery.submit import results
from bakery.submit.description import DAG
from provisioner.errors import BadInput, BakeryError, CommandFailed, MissingHere, Unreachable
from provisioner.events import Monitor, note
from provisioner.process import run

_PROGRAM = "condor_submit_dag"
_CLUSTER = re.compile(r"submitted to cluster (\d+)")
_NO_SCHEDD = re.compile(r"(?i)can't (?:find address|connect)|failed to connect|no.*schedd")
_SECONDS = 5  # between two looks at the logs
_LIMIT = math.inf  # seconds that `wait` waits; jobs may be idle for days


def require(folder: Path) -> None:
    """Raises MissingHere: this machine is no access point; BadInput: DAGMan does not accept the folder."""
    if folder.is_relative_to("/tmp"):  # an error of DAGMan, unless DAGMAN_USE_STRICT is 0
        raise BadInput(
            f"DAGMan does not accept a folder below /tmp ({folder}).", "Choose another: --submit-dir."
        )
    try:
        run.require(_PROGRAM)
    except MissingHere:
        raise MissingHere(
            f"{_PROGRAM} is not installed on this machine.",
            "Run --submit at an access point of your pool, or write the folder with --submit-files DIR and "
            "copy it there.",
        ) from None


def submit(folder: Path, name: str) -> int:
    """Submit the DAG of a new folder under a batch name; return the cluster of DAGMan's job.

    If that fails, the folder is removed. Raises MissingHere, Unreachable (no schedd), CommandFailed.
    """
    try:
        said = _condor_submit_dag(folder, name)
    except BakeryError:
        shutil.rmtree(folder)
        raise
    found = _CLUSTER.search(said)
    if not found:
        raise BakeryError(f"{_PROGRAM} printed no cluster: {said.strip()}")
    return int(found[1])


def _condor_submit_dag(folder: Path, name: str) -> str:
    """Return what it prints on stdout. HTCondor's own environment variables stay as they are."""
    argv = [_PROGRAM, "-batch-name", name, DAG]
    done = run.call(argv, cwd=folder, env=run.inherited(), expect=range(256))
    if not done.status:
        return done.stdout
    error = CommandFailed(" ".join(argv), done.status, (done.stdout + done.stderr).strip())
    if _NO_SCHEDD.search(error.tail):
        hint = "Is this machine an access point, and does condor_q work?"
        raise Unreachable(error.message, hint)
    raise error


def wait(folder: Path, monitor: Monitor) -> None:
    """Wait, without a limit, until DAGMan has ended; emit a note for each change of a node.

    Raises BadInput: the folder has no DAG of ours, or it was not submitted.
    """
    results.read(folder)
    if not results.is_submitted(folder):
        raise BadInput(f"The DAG in {folder} was not submitted.", f"Run condor_submit_dag {DAG} there.")
    seen: dict[str, str] = {}

    def has_ended() -> bool:
        ended = results.has_ended(folder)
        for result in results.read(folder):
            now = f"{result.state} on {result.machine}" if result.state == "running" else result.state
            if seen.get(result.node) != now:
                seen[result.node] = now
                note(monitor, f"{result.node}: {now}")
        return ended

    conditions.wait(Condition("DAGMan has ended", has_ended, _LIMIT), interval=_SECONDS)
