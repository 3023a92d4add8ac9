"""`worker configure`: from the worker's file to a running HTCondor. Run again, it changes nothing
that is right already. The token is written to its file, and to nothing else.
"""

import os
import subprocess
from typing import NamedTuple, Tuple

from worker_runtime.configuration import (
    applied,
    condor_config,
    instance,
    settings,
)
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.validation import check
from worker_runtime.configuration.worker_file import WorkerConfig, parse
from worker_runtime.system import boot_time, exit_marker, files, paths, status_socket  # fmt: skip
from worker_runtime.system.console import log

UNIT = "condor.service"
GUARD = "worker-metadata-guard.service"
# What cloud-init keeps of the user-data, and with it perhaps a token, whatever its files' modes.
CLOUD_INIT = ("/var/lib/cloud/instances", "/var/lib/cloud/seed")


class Outcome(NamedTuple):
    """What became of the file's content: the exit status, and what is in the way."""

    status: int
    problems: Tuple[str, ...] = ()


def main() -> int:
    table = settings.load_table()
    for complaint in table.warnings:
        log("warning: " + complaint)
    return apply_until_unchanged(table.kind)


def apply_until_unchanged(kind: Kind) -> int:
    """Do what the file says, until it says the same after that as before."""
    while True:
        content, outcome = _apply_current(kind)
        # A change made meanwhile would be lost: the path unit does not look while we run.
        if _content_now(kind) == content:
            return outcome.status


def _content_now(kind: Kind) -> bytes:
    try:
        return files.read_settled(kind.file) or b""
    except OSError:  # which has been said
        return b""


def _apply_current(kind: Kind) -> Tuple[bytes, Outcome]:
    """What the file said, and what became of it; which the worker's status tells from then on."""
    content, stands_for = b"", applied.Fingerprint()
    try:
        content = files.read_settled(kind.file) or b""
        stands_for = applied.fingerprint(kind, content)
        outcome = apply(kind, content)
    except OSError as error:  # a full disk, or a folder where the file should be
        outcome = Outcome(1, ("%s: %s" % (error.filename, error.strerror),))
        log(outcome.problems[0])
    applied.record(stands_for, outcome.problems)
    status_socket.wake_watch()
    return content, outcome


def apply(kind: Kind, content: bytes) -> Outcome:
    """Do what the file says."""
    restrict_cloud_init()
    if not content.strip():
        log("waiting for %s, which says whose jobs to run" % kind.file)
        return Outcome(0)
    place = condor_config.Machine(boot_time.boot_epoch(), instance.attributes(), instance.machine_number())
    conf = check(kind, parse(content, kind.keys, kind.form), place)
    for warning in conf.warnings:
        log("warning: %s: %s" % (kind.file, warning))
    if conf.problems:
        return refuse(kind, conf)
    return start_htcondor(install(kind, conf, place))


def restrict_cloud_init() -> None:
    """Only root is to enter where cloud-init keeps the user-data."""
    for folder in CLOUD_INIT:
        if os.path.isdir(folder):
            os.chmod(folder, 0o700)


def refuse(kind: Kind, conf: WorkerConfig) -> Outcome:
    log("\n".join("%s: %s" % (kind.file, problem) for problem in conf.problems))
    running = subprocess.call(["systemctl", "--quiet", "is-active", UNIT]) == 0
    done = "HTCondor goes on as before." if running else "HTCondor was not started."
    log("%s Correct %s; it is read as soon as it changes." % (done, kind.file))
    return Outcome(1, conf.problems)


def install(kind: Kind, conf: WorkerConfig, place: condor_config.Machine) -> str:
    """The token and the configuration in their places; what HTCondor is to do about it."""
    files.create_private_folder(os.path.dirname(kind.token_file))
    config_file = os.path.join(paths.CONFIG_DIR, kind.config_name)
    before = files.read_text(config_file)
    after = condor_config.render(kind, conf.values, place)
    secret = conf.values["Token"].encode("ascii") + b"\n"
    token_is_new = files.put(kind.token_file, secret, 0o600)
    config_is_new = files.put(config_file, after.encode("utf-8"), 0o644)
    if token_is_new or config_is_new or not os.path.exists(settings.PUBLISHED):
        exit_marker.clear()  # whatever ended under the old settings, says nothing of the new
        settings.publish(conf.values)
        # At each start of HTCondor it runs anyway; a running one may have to hear of the guard.
        subprocess.call(["systemctl", "start", GUARD])
    if condor_config.needs_restart(before, after):
        return "restart"
    return "reload-or-restart" if token_is_new or config_is_new else "start"


def start_htcondor(verb: str) -> Outcome:
    """Have HTCondor run with what is installed."""
    # A running one is only told to read again, for it may have jobs. Not waited for, because its
    # start may wait for this unit's end, and for the network.
    status = subprocess.call(["systemctl", "--no-block", verb, UNIT])
    if status != 0:
        problem = "systemctl %s %s failed with status %d" % (verb, UNIT, status)
        log(problem)
        return Outcome(1, (problem,))
    done = "nothing has changed" if verb == "start" else "it is told to take that up"
    log("HTCondor is configured; " + done)
    return Outcome(0)
