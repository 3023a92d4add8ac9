"""`worker configure`: configures HTCondor by the worker's file and starts it.

It can run any number of times and changes nothing that is right already. The token is written to its own
file and nowhere else.
"""

import os
import subprocess
from typing import NamedTuple, Tuple

from worker_runtime.configuration import applied, condor_config, instance, settings, token
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.validation import check
from worker_runtime.configuration.worker_file import WorkerConfig, parse
from worker_runtime.system import boot_time, exit_marker, files, paths, status_socket
from worker_runtime.system.console import log
from worker_runtime.system.systemd import CONDOR_UNIT

GUARD_UNIT = "worker-metadata-guard.service"
# Where cloud-init keeps the user-data, which may contain a token, whatever the modes of its files.
CLOUD_INIT = ("/var/lib/cloud/instances", "/var/lib/cloud/seed")


class Outcome(NamedTuple):
    """The result of applying the file: the exit status, and the problems."""

    status: int
    problems: Tuple[str, ...] = ()


def main() -> int:
    """Apply the worker's file; the exit status."""
    table = settings.load_table()
    for warning in table.warnings:
        log("warning: " + warning)
    return apply_until_unchanged(table.kind)


def apply_until_unchanged(kind: Kind) -> int:
    """Apply the file until its content is the same after as before."""
    while True:
        content, outcome = _apply_current(kind)
        # A change in the meantime would be lost: the path unit does not trigger while this service runs.
        if _content_now(kind) == content:
            return outcome.status


def _content_now(kind: Kind) -> bytes:
    try:
        return files.read_settled(kind.file) or b""
    except OSError:  # already reported
        return b""


def _apply_current(kind: Kind) -> Tuple[bytes, Outcome]:
    """Apply the current content of the file and record that for the worker's status. Return both."""
    content, current = b"", applied.Fingerprint()
    try:
        content = files.read_settled(kind.file) or b""
        current = applied.fingerprint(kind, content)
        outcome = apply(kind, content)
    except OSError as error:  # a full disk, or a directory in place of the file
        outcome = Outcome(1, ("%s: %s" % (error.filename, error.strerror),))
        log(outcome.problems[0])
    applied.record(current, outcome.problems)
    status_socket.wake_watch()
    return content, outcome


def apply(kind: Kind, content: bytes) -> Outcome:
    """Apply this content of the file."""
    restrict_cloud_init()
    if not content.strip():
        log("waiting for %s (missing or empty)" % kind.file)
        return Outcome(0)
    machine = condor_config.Machine(
        boot_time.boot_epoch(), instance.attributes(), instance.machine_number(), instance.image_date()
    )
    conf = check(kind, parse(content, kind.keys, kind.form), machine)
    for warning in conf.warnings:
        log("warning: %s: %s" % (kind.file, warning))
    if conf.problems:
        return refuse(kind, conf)
    return start_htcondor(install(kind, conf, machine))


def restrict_cloud_init() -> None:
    """Let only root enter the directories in which cloud-init keeps the user-data."""
    for folder in CLOUD_INIT:
        if os.path.isdir(folder):
            os.chmod(folder, 0o700)


def refuse(kind: Kind, conf: WorkerConfig) -> Outcome:
    """Report the problems; HTCondor keeps its state."""
    log("\n".join("%s: %s" % (kind.file, problem) for problem in conf.problems))
    running = subprocess.call(["systemctl", "--quiet", "is-active", CONDOR_UNIT]) == 0
    done = "HTCondor keeps its previous configuration." if running else "HTCondor was not started."
    log("%s Correct %s; it is read again when it changes." % (done, kind.file))
    return Outcome(1, conf.problems)


def install(kind: Kind, conf: WorkerConfig, machine: condor_config.Machine) -> str:
    """Write the token and the configuration; return the verb of systemctl that makes HTCondor use them."""
    files.create_private_folder(os.path.dirname(kind.token_file))
    config_file = os.path.join(paths.CONFIG_DIR, kind.config_name)
    before = files.read_text(config_file)
    after = condor_config.render(kind, conf.values, machine)
    secret = conf.values["Token"].encode("ascii") + b"\n"
    token_is_new = files.put(kind.token_file, secret, 0o600)
    token.put_server_credential(conf.values)
    config_is_new = files.put(config_file, after.encode("utf-8"), 0o644)
    if token_is_new or config_is_new or not os.path.exists(settings.PUBLISHED):
        exit_marker.clear()  # an exit under the old settings says nothing about the new ones
        settings.publish(conf.values)
        # The guard runs at each start of HTCondor; for a running HTCondor its setting may have changed.
        subprocess.call(["systemctl", "start", GUARD_UNIT])
    if condor_config.needs_restart(before, after):
        return "restart"
    return "reload-or-restart" if token_is_new or config_is_new else "start"


def start_htcondor(verb: str) -> Outcome:
    """Make HTCondor run with the installed configuration."""
    # A running HTCondor only reloads, because it may have jobs. --no-block, because its start may wait for
    # the end of this unit and for the network.
    status = subprocess.call(["systemctl", "--no-block", verb, CONDOR_UNIT])
    if status != 0:
        problem = "systemctl %s %s failed with status %d" % (verb, CONDOR_UNIT, status)
        log(problem)
        return Outcome(1, (problem,))
    done = "nothing has changed" if verb == "start" else "it loads the new configuration"
    log("HTCondor is configured; " + done)
    return Outcome(0)
